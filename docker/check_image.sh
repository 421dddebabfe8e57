#!/usr/bin/env bash
# Builds the image and runs a small study in it as the image's own user, with docker or, without an engine, with buildah:
#   docker/check_image.sh [IMAGE]
#
# BASE_IMAGE   another base, such as one made by docker/make_base_image.sh
# PIP_CONF     a pip.conf to build with; CA_BUNDLE its certificates, which it names as /run/secrets/ca_bundle
set -euo pipefail
cd "$(dirname "$0")/.."
image=${1:-kerastudy}

build_options=(-f docker/Dockerfile -t "$image")
if [ -n "${BASE_IMAGE:-}" ]; then build_options+=(--build-arg "BASE_IMAGE=$BASE_IMAGE"); fi
if [ -n "${PIP_CONF:-}" ]; then build_options+=(--secret "id=pip_conf,src=$PIP_CONF"); fi
if [ -n "${CA_BUNDLE:-}" ]; then build_options+=(--secret "id=ca_bundle,src=$CA_BUNDLE"); fi

if docker info >/dev/null 2>&1; then
    docker build "${build_options[@]}" .
    container=$(docker run -d --entrypoint sleep -v "$PWD/studies:/studies:ro" "$image" infinity)
    trap 'docker rm -f "$container" >/dev/null' EXIT
    inside() { docker exec "$container" "$@"; }
elif command -v buildah >/dev/null; then
    buildah bud --layers "${build_options[@]}" .
    container=$(buildah from "$image")
    trap 'buildah rm "$container" >/dev/null' EXIT
    inside() { buildah run -v "$PWD/studies:/studies:ro" "$container" -- "$@"; }
else
    echo "Neither a docker engine nor buildah is here." >&2
    exit 1
fi

[ "$(inside id -un)" = kerastudy ] || { echo "the image does not run as the user kerastudy" >&2; exit 1; }
inside kerastudy validate breast-cancer.yaml
inside kerastudy run breast-cancer.yaml --trials 4
inside kerastudy best breast-cancer
inside kerastudy export breast-cancer --format keras,saved_model --to /var/lib/kerastudy/exported
inside ls -lR /var/lib/kerastudy/exported
echo "The image $image works."
