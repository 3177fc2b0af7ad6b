#!/bin/sh
# Builds wheel and source, looks into them, and tries the wheel in a fresh environment: make package
set -eu
: "${PYTHON:=python3}" "${TORCH:=torch}" "${CONSTRAINTS:=}" "${QT:=PyQt6}"
work=build/package
rm -rf "$work" dist
mkdir -p "$work"
pip="-m pip install --quiet --disable-pip-version-check"

echo "Building"
"$PYTHON" -m venv "$work/tools"
# shellcheck disable=SC2086
"$work/tools/bin/python" $pip build
"$work/tools/bin/python" -m build --outdir dist . >"$work/build.log" 2>&1 || {
    tail -20 "$work/build.log" >&2
    exit 1
}
"$PYTHON" scripts/package_content.py dist

echo "Installing the wheel into a fresh environment"
"$PYTHON" -m venv "$work/env"
env="$work/env/bin/python"
constraint=""
[ -z "$CONSTRAINTS" ] || [ "$TORCH" = torch ] || constraint="--constraint $CONSTRAINTS"
# shellcheck disable=SC2086
"$env" $pip $constraint "$TORCH"
# shellcheck disable=SC2086
"$env" $pip $constraint "$QT" dist/*.whl
script=$(pwd)/scripts/package_trial.py
python=$(cd "$(dirname "$env")" && pwd)/python
cd "$work" && QT_QPA_PLATFORM=offscreen PYTHONPATH= "$python" "$script"
