#!/usr/bin/env bash
# Makes a local base image from Debian packages, where no registry can be reached: docker/make_base_image.sh [IMAGE]
# Needs root, buildah and debootstrap. Then: BASE_IMAGE=localhost/debian-python docker/check_image.sh
set -euo pipefail
image=${1:-debian-python}
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT

debootstrap --variant=minbase --include=python3,python3-venv,python3-pip,ca-certificates bookworm "$root" ${DEBIAN_MIRROR:+"$DEBIAN_MIRROR"}
container=$(buildah from scratch)
buildah add --quiet "$container" "$root" / >/dev/null
buildah config --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$container"
buildah commit --quiet "$container" "$image"
buildah rm "$container" >/dev/null
