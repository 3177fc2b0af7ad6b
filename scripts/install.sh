#!/bin/sh
# Makes the environment and installs the project into it, torch first: asked for later, as a dependency of another
# package, its largest build with several GB of CUDA libraries would come.
set -eu
: "${PYTHON:=python3}" "${VENV:=.venv}" "${TORCH:=torch}" "${CONSTRAINTS:=}" "${QT:=PyQt6}"

"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "napari-cubeseg needs Python 3.11 or newer; this is $("$PYTHON" --version). Name another: make PYTHON=python3.12" >&2
    exit 1
}
if [ ! -x "$VENV/bin/python" ]; then
    "$PYTHON" -m venv "$VENV" || {
        echo "The environment could not be made. On Debian or Ubuntu: apt-get install python3-venv" >&2
        rm -rf "$VENV"
        exit 1
    }
fi
pip="$VENV/bin/python -m pip install --quiet --disable-pip-version-check"
echo "Installing into $VENV (a few minutes the first time)"
$pip --upgrade "pip>=25.1"
constraint=""
[ -z "$CONSTRAINTS" ] || [ "$TORCH" = torch ] || constraint="--constraint $CONSTRAINTS"
# shellcheck disable=SC2086
$pip $constraint "$TORCH"
# shellcheck disable=SC2086
$pip $constraint "$QT" --editable ".[instruments,zarr,distributed]" --group dev
