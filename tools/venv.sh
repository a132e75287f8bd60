#!/bin/sh
# Makes the environment. Usage: tools/venv.sh PYTHON DIRECTORY
set -eu
python=$1 venv=$2
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "Relto needs Python 3.11 or newer; make PYTHON=/path/to/python3 names another." >&2
    exit 1
}
if "$python" -m venv "$venv" 2>/dev/null; then
    exit 0
fi
# Debian keeps ensurepip in a package of its own; an installed pip can serve another environment without it.
rm -rf "$venv"
"$python" -m venv --without-pip "$venv"
"$python" -m pip --python "$venv/bin/python" install --quiet pip || {
    rm -rf "$venv"
    echo "This Python has neither ensurepip nor pip. On Debian: apt install python3-venv" >&2
    exit 1
}
