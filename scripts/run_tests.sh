#!/usr/bin/env bash
# Tests side by side, then once more and alone those that failed: run_tests.sh VENV_BIN PROCESSES [pytest options]
#
# A test of servers, workers and kills can fail because of what runs beside it. One that fails twice is a failure. One
# that passes alone is named, as it is to be mended. Without coverage enough, or with a process left, there is no second try.
set -euo pipefail
bin=$1 processes=$2
shift 2

status=0
"$bin/python" -m pytest -n "$processes" --dist loadfile --no-loadscope-reorder "$@" || status=$?
[ "$status" = 1 ] || exit "$status"

options=()
for option in "$@"; do
    case $option in
    --cov*) measured=yes ;;
    *) options+=("$option") ;;
    esac
done
if [ "${measured:-}" ]; then
    "$bin/coverage" report --format=total >/dev/null # fails below the least share
fi
echo "once more, alone, what has failed:"
"$bin/python" -m pytest -rA --last-failed --last-failed-no-failures none --maxfail 5 "${options[@]}"
echo "what has failed beside other tests has passed alone; please mend it all the same"
