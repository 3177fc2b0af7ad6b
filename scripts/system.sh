#!/bin/sh
# Makes sure that the libraries for Qt, OpenGL and a virtual display are there; installs them on Debian as root.
set -eu
[ "$(uname -s)" = Linux ] || exit 0
packages="xvfb xauth libegl1 libgl1 libopengl0 libgl1-mesa-dri libdbus-1-3 libxkbcommon-x11-0 libfontconfig1
    libxcb-cursor0 libxcb-icccm4 libxcb-image0 libxcb-keysyms1 libxcb-randr0 libxcb-render-util0 libxcb-shape0
    libxcb-xinerama0"
command -v dpkg-query >/dev/null 2>&1 || {
    [ -n "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ] || command -v Xvfb >/dev/null 2>&1 ||
        echo "Without a display this needs Xvfb and the Qt 6 libraries (xcb-cursor, EGL, OpenGL); install them first" >&2
    exit 0
}
missing=""
for package in $packages; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q "ok installed" || missing="$missing $package"
done
[ -n "$missing" ] || exit 0
if [ "$(id -u)" = 0 ]; then
    echo "Installing system libraries:$missing"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    # shellcheck disable=SC2086
    apt-get install -y -qq --no-install-recommends $missing >/dev/null
else
    echo "System libraries are missing, and installing them needs root. Please run:" >&2
    echo "    sudo apt-get install$missing" >&2
    exit 1
fi
