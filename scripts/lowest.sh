#!/bin/sh
# Writes the lowest versions that pyproject.toml allows of what it names, as constraints for pip: lowest.sh FILE.
set -eu
: "${PYTHON:=python3}" "${TORCH:=torch}" "${QT:=PyQt6}" "${UV_VENV:=build/uv-venv}"

[ -x "$UV_VENV/bin/uv" ] || {
    "$PYTHON" -m venv "$UV_VENV"
    "$UV_VENV/bin/python" -m pip install --quiet --disable-pip-version-check uv
}
mkdir -p "$(dirname "$1")"
# what an earlier one says would be kept to
rm -f "$1"
printf '%s\n' "$TORCH" "$QT" >"$1.in"
"$UV_VENV/bin/uv" pip compile --quiet --resolution lowest-direct --python "$PYTHON" --output-file "$1" \
    pyproject.toml "$1.in" --extra instruments --extra zarr --extra distributed --group test
