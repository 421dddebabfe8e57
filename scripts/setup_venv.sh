#!/usr/bin/env bash
# Creates a virtual environment with the locked dependencies and this project: setup_venv.sh VENV LOCK_FILE
#
# The lock is complete, so nothing is resolved: pip installs uv from its lines in the lock, and uv installs exactly
# what the lock names. A second call brings the environment to the present lock and removes what left it.
# PYTHON in the environment names the interpreter; without it the newest suitable one on the PATH is taken.
set -euo pipefail
venv=$1 lock=$2 bin=$1/bin
here=$(dirname "$0")

suitable() {
    "$1" -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null
}

find_python() {
    local candidate candidates=(python3.13 python3.12 python3.11 python3 python)
    if [ -n "${PYTHON:-}" ]; then candidates=("$PYTHON"); fi
    for candidate in "${candidates[@]}"; do
        if suitable "$candidate"; then
            echo "$candidate"
            return
        fi
    done
    echo "kerastudy needs Python 3.11, 3.12 or 3.13 with its venv module; looked for: ${candidates[*]}." >&2
    echo "Install one (Debian: apt-get install python3 python3-venv) or name it: make PYTHON=/path/to/python ..." >&2
    return 1
}

# The lines of one package in the lock: its pin and its hashes.
locked() {
    awk -v name="$1" '/^[^ ]/ {wanted = index($0, name "==") == 1} wanted' "$lock"
}

# Runs a command; when it fails, its output is shown, followed by one line that says what to do.
fetch() {
    if "$@" 2>"$scratch/error"; then return; fi
    cat "$scratch/error" >&2
    if grep -qiE 'connection|resolve host|name resolution|timed out|sending request|dns|network|unreachable|NewConnectionError|Could not find a version' "$scratch/error"; then
        echo "Set-up stopped: the package index could not be reached, or lacks a pinned release. Check the network and" >&2
        echo "the index that pip is set to use (python3 -m pip config list), then run make again; it goes on from here." >&2
    else
        echo "Set-up stopped for the reason above. Run make again when it is mended; it goes on from here." >&2
    fi
    return 1
}

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

if ! suitable "$bin/python"; then
    python=$(find_python)
    echo "Setting up $venv with $("$python" --version). The first time takes a few minutes."
    "$python" -m venv --clear "$venv"
fi

locked uv >"$scratch/uv.txt"
fetch "$bin/python" -m pip --disable-pip-version-check install -qq --retries 2 --no-deps --require-hashes -r "$scratch/uv.txt"
# shellcheck source=scripts/index_settings.sh
. "$here/index_settings.sh"
export VIRTUAL_ENV
VIRTUAL_ENV=$(cd "$venv" && pwd)
# Compiled once here: without this, where PYTHONDONTWRITEBYTECODE is set, each process would compile TensorFlow anew.
fetch "$bin/python" -m uv pip sync --quiet --compile-bytecode --require-hashes "$lock"
fetch "$bin/python" -m uv pip install --quiet --no-deps --no-build-isolation --no-index --editable .
# An editable installation leaves this project's own modules as they are: half a second of each command, for as long.
"$bin/python" -m compileall -q -j 0 kerastudy pipelines search_spaces tracking
