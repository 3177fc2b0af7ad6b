#!/bin/sh
# Builds the site in an environment of its own: the sources are read, the project need not be installed.
set -eu
: "${PYTHON:=python3}" "${DOCS_VENV:=build/docs-venv}"
if [ ! -x "$DOCS_VENV/bin/mkdocs" ]; then
    "$PYTHON" -m venv "$DOCS_VENV"
    "$PYTHON" -c 'import tomllib; p = tomllib.load(open("pyproject.toml", "rb"))["project"]
print("numpy", *p["optional-dependencies"]["docs"], sep="\n")' >"$DOCS_VENV/needs.txt"
    "$DOCS_VENV/bin/python" -m pip install --quiet --disable-pip-version-check -r "$DOCS_VENV/needs.txt"
fi
NO_MKDOCS_2_WARNING=1 exec "$DOCS_VENV/bin/mkdocs" build --strict --quiet
