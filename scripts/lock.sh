#!/usr/bin/env bash
# Writes both lock files from pyproject.toml for every supported Python: lock.sh VENV_BIN [--upgrade]
# Pins that stand are kept unless --upgrade is given. No index address is written down: uv is told the index
# and certificate that pip is set to use here, since it does not read pip's settings itself.
set -euo pipefail
bin=$1
shift

setting() { "$bin/python" -m pip config get "global.$1" 2>/dev/null || true; }
index=${UV_DEFAULT_INDEX:-${PIP_INDEX_URL:-$(setting index-url)}}
certificate=${SSL_CERT_FILE:-${PIP_CERT:-$(setting cert)}}
if [ -n "$index" ]; then export UV_DEFAULT_INDEX=$index; fi
if [ -n "$certificate" ]; then export SSL_CERT_FILE=$certificate; fi

compile() {
    "$bin/uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes \
        --custom-compile-command "make lock" pyproject.toml "$@"
}
compile "$@" --extra postgresql --extra jax -o requirements.lock
compile "$@" --extra postgresql --extra jax --extra onnx --extra openvino --extra dev -c requirements.lock -o requirements-dev.lock
"$bin/uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
    --custom-compile-command "make lock" docker/serving/requirements.in -c requirements.lock -o docker/serving/requirements.txt
