#!/usr/bin/env bash
# Writes the lock files from pyproject.toml for every supported Python: lock.sh VENV_BIN [--upgrade]
# Pins that stand are kept unless --upgrade is given. No index address is written down.
set -euo pipefail
bin=$1
shift

# shellcheck source=scripts/index_settings.sh
. "$(dirname "$0")/index_settings.sh"

compile() {
    "$bin/uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes \
        --custom-compile-command "make lock" pyproject.toml "$@"
}
compile "$@" --extra postgresql --extra jax --extra s3 --extra gcs --extra azure -o requirements.lock
# For the image whose containers are nodes of a Ray cluster.
compile "$@" --extra postgresql --extra jax --extra s3 --extra gcs --extra azure --extra ray -c requirements.lock -o requirements-ray.lock
compile "$@" --extra postgresql --extra jax --extra ray --extra onnx --extra openvino --extra cma-es --extra dashboard --extra s3 --extra gcs --extra azure --extra dev --extra docs -c requirements.lock -o requirements-dev.lock
"$bin/uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
    --custom-compile-command "make lock" docker/serving/requirements.in -c requirements.lock -o docker/serving/requirements.txt
