# shellcheck shell=bash disable=SC2154
# Sourced, with $bin set: tells uv which index and certificate pip is set to use, since uv reads no setting of pip's.
# What is set for uv itself stays. No address is ever written into a file.

pip_setting() {
    local variable
    variable=PIP_$(tr 'a-z-' 'A-Z_' <<<"$1")
    if [ -n "${!variable:-}" ]; then
        echo "${!variable}"
    else
        "$bin/python" -m pip config get "global.$1" 2>/dev/null || "$bin/python" -m pip config get "install.$1" 2>/dev/null || true
    fi
}

# export_for_uv UV_VARIABLE PIP_NAME
export_for_uv() {
    local value=${!1:-}
    if [ -z "$value" ]; then value=$(pip_setting "$2" | tr '\n' ' ' | sed 's/ *$//'); fi
    if [ -n "$value" ]; then export "$1=$value"; fi
}

export_for_uv UV_DEFAULT_INDEX index-url
export_for_uv UV_INDEX extra-index-url
export_for_uv UV_FIND_LINKS find-links
export_for_uv UV_INSECURE_HOST trusted-host
export_for_uv SSL_CERT_FILE cert
# Like pip, uv looks for a pinned version on every index, not only on the first that knows the name.
export UV_INDEX_STRATEGY=${UV_INDEX_STRATEGY:-unsafe-best-match}
export UV_NO_PROGRESS=1 UV_NO_CONFIG=1
