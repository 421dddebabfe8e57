#!/usr/bin/env bash
# One study on several nodes of a SLURM cluster: Ray's head and nodes by srun, the supervisor beside the head.
#
#   sbatch --nodes=4 --cpus-per-task=16 --time=12:00:00 docker/slurm/study.sh study.yaml [OPTION OF kerastudy run]...
#
# The study file has `resources: {engine: ray}`; its data, this folder and KERASTUDY_HOME are on storage that all nodes
# share. At the time limit, or after a lost head, the study is paused: submit the same line again, and it goes on.
#
# KERASTUDY_HOME   the home; .kerastudy in the folder of submission by default
# KERASTUDY_VENV   the virtual environment with kerastudy[ray]; without it, what PATH has
#SBATCH --job-name=kerastudy
#SBATCH --ntasks-per-node=1
#SBATCH --exclusive
# Two minutes before the limit: running trials are put back with their checkpoints.
#SBATCH --signal=B:TERM@120
set -euo pipefail

study=${1:?usage: sbatch study.sh STUDY_FILE [OPTION OF kerastudy run]...}
shift
if [ ! -f "$study" ]; then
    echo "$study: there is no such study file in $PWD" >&2
    exit 2
fi
export KERASTUDY_HOME=${KERASTUDY_HOME:-$PWD/.kerastudy}
if [ -n "${KERASTUDY_VENV:-}" ]; then export PATH="$KERASTUDY_VENV/bin:$PATH"; fi
for program in kerastudy ray; do
    if ! command -v "$program" >/dev/null; then
        echo "$program is not in PATH: set KERASTUDY_VENV to an environment with kerastudy[ray]" >&2
        exit 2
    fi
done

cpus=${SLURM_CPUS_PER_TASK:-${SLURM_CPUS_ON_NODE:?run this by sbatch}}
gpus=${SLURM_GPUS_ON_NODE:-0}
head=$(hostname)
# A port of this job: others may run on the same node.
port=$((20000 + ${SLURM_JOB_ID:-$$} % 20000))
# A socket's path is short, and the home's may be long.
temporary=$(mktemp -d /tmp/ray-XXXXXX)
# Without a token, every user of these nodes could run code in the job's name.
mkdir -p "$KERASTUDY_HOME"
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH=$KERASTUDY_HOME/ray-token-$port
(umask 077 && od -An -N32 -tx1 /dev/urandom | tr -d ' \n' >"$RAY_AUTH_TOKEN_PATH")
common=(--num-cpus="$cpus" --num-gpus="$gpus" --disable-usage-stats --block)

steps=()
# shellcheck disable=SC2329  # a trap calls it
stop_cluster() {
    trap - EXIT
    for step in "${steps[@]}"; do kill -TERM "$step" 2>/dev/null || true; done
    wait || true
    rm -rf "$temporary" "$RAY_AUTH_TOKEN_PATH"
}
trap stop_cluster EXIT

# Beside the supervisor, which the first node runs too: a step of its own would wait for the allocation's CPUs.
ray start --head --port="$port" --temp-dir="$temporary" --include-dashboard=false "${common[@]}" >ray-head.log 2>&1 &
steps+=($!)
export RAY_ADDRESS=$head:$port
# The port first: Ray's own check waits long for one that is closed.
answers() { (: <"/dev/tcp/$head/$port") 2>/dev/null && ray health-check --address "$RAY_ADDRESS" >/dev/null 2>&1; }
until answers; do
    if [ "$SECONDS" -gt 180 ] || ! kill -0 "${steps[0]}" 2>/dev/null; then
        echo "Ray's head does not answer at $RAY_ADDRESS; see $PWD/ray-head.log" >&2
        exit 1
    fi
    sleep 1
done
others=$((${SLURM_JOB_NUM_NODES:-1} - 1))
if [ "$others" -gt 0 ]; then
    srun --nodes="$others" --ntasks="$others" --exclude="$head" --export=ALL \
        ray start --address="$RAY_ADDRESS" "${common[@]}" >ray-nodes.log 2>&1 &
    steps+=($!)
fi

# In the background, and waited for: bash handles SIGTERM only between commands. Not SIGINT, which bash lets processes in
# the background ignore.
kerastudy run "$study" "$@" &
supervisor=$!
# Nobody starts another head in this job: without this, the study would wait for one (resources.reconnect).
(
    while kill -0 "${steps[0]}" 2>/dev/null; do sleep 1; done
    echo "Ray's head has ended, so the study is paused; see $PWD/ray-head.log" >&2
    kill -TERM "$supervisor"
) &
steps+=($!)
trap 'interrupted=1; kill -TERM "$supervisor"' TERM INT
while :; do
    interrupted='' status=0
    wait "$supervisor" || status=$?
    # A signal ends `wait` before the supervisor has put its trials back.
    if [ -z "$interrupted" ]; then break; fi
done
exit "$status"
