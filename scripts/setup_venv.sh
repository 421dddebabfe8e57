#!/usr/bin/env bash
# Makes a virtual environment with the locked dependencies and this project: setup_venv.sh VENV LOCK_FILE
# PYTHON in the environment names the interpreter; without it the newest suitable one on the PATH is taken.
set -euo pipefail
venv=$1 lock=$2

suitable() {
    "$1" -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null
}

find_python() {
    local candidate
    for candidate in ${PYTHON:-python3.13 python3.12 python3.11 python3 python}; do
        if suitable "$candidate"; then
            echo "$candidate"
            return
        fi
    done
    echo "kerastudy needs Python 3.11, 3.12 or 3.13 with its venv module; looked for: ${PYTHON:-python3.13, python3.12, python3.11, python3, python}." >&2
    echo "Install one (Debian: apt-get install python3 python3-venv) or name it: make PYTHON=/path/to/python ..." >&2
    return 1
}

if ! suitable "$venv/bin/python"; then
    python=$(find_python)
    echo "Setting up $venv with $("$python" --version). The first time takes a few minutes."
    "$python" -m venv --clear "$venv"
fi
pip=("$venv/bin/python" -m pip --disable-pip-version-check install -qq)
"${pip[@]}" --require-hashes -r "$lock"
"${pip[@]}" --no-deps --no-build-isolation -e .
