#!/bin/sh
# Installs a lock file, every package by its hash, and then Relto itself. Usage: tools/install.sh VENV LOCK
set -eu
venv=$1 lock=$2
echo "installing $lock (once; some minutes on a slow line)"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r "$lock"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
