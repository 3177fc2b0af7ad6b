#!/bin/sh
# Runs a command on the display there is, or on a virtual one; CI always takes a virtual one.
set -eu
if [ "$(uname -s)" != Linux ] || { [ -z "${CI:-}" ] && [ -n "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ]; }; then
    exec "$@"
fi
unset WAYLAND_DISPLAY || true
export QT_QPA_PLATFORM=xcb CUBESEG_VIRTUAL_DISPLAY=1
exec xvfb-run --auto-servernum --server-args="-screen 0 1600x1000x24" "$@"
