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
# A lost node costs its trials an attempt, and not the job.
#SBATCH --no-kill
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
job=${SLURM_JOB_ID:-$$}
# SLURM's name of this node, which may differ from the host's.
node=${SLURMD_NODENAME:-$(hostname -s)}
# An address: a host's name may lead to its own loopback (127.0.1.1 on Debian), and Ray's nodes look names up by DNS.
find_address() {
    local name
    name=$(scontrol show node --oneliner "$node" 2>/dev/null | grep -oP '(?<= NodeAddr=)\S+') || name=$(hostname)
    getent ahostsv4 "$name" | awk '$1 !~ /^127\./ { print $1; exit }' | grep . || hostname -I | awk '{ print $1 }' | grep . || hostname
}
head=$(find_address)
# A port of this job: others may run on the same node.
port=$((20000 + job % 20000))
# A socket's path is short, and the home's may be long.
temporary=$(mktemp -d /tmp/ray-XXXXXX)
# Without a token, every user of these nodes could run code in the job's name.
mkdir -p "$KERASTUDY_HOME"
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH=$KERASTUDY_HOME/ray-token-$job
(umask 077 && od -An -N32 -tx1 /dev/urandom | tr -d ' \n' >"$RAY_AUTH_TOKEN_PATH")
# Nothing is left to drain when the nodes end, and SLURM kills what has not ended 30 seconds after its SIGTERM.
export RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S=0
common=(--num-cpus="$cpus" --num-gpus="$gpus" --disable-usage-stats --block)
# Ray sees the machine's memory, of which the job may have less: 70 % for workers, 20 % for the object store.
megabytes=${SLURM_MEM_PER_NODE:-$((${SLURM_MEM_PER_CPU:-0} * cpus))}
if [ "$megabytes" -gt 0 ]; then
    common+=(--memory=$((megabytes * 734003)) --object-store-memory=$((megabytes * 209715)))
fi

# Run one of Ray's nodes and remove its temporary folder at the end. SIGUSR1 is for this shell: of srun's signals, SIGTERM
# becomes SIGKILL, and SIGUSR1 goes to every process of the step.
# shellcheck disable=SC2329  # the other nodes call it too
run_node() {
    local folder=$1 ray status
    shift
    mkdir -p "$folder"
    # What killed workers leave goes with the folder. SLURM sets TMPDIR to /tmp; another one is the site's, which clears it.
    if [ "${TMPDIR:-/tmp}" = /tmp ]; then export TMPDIR=$folder; fi
    (trap '' USR1 && exec ray start --temp-dir="$folder" "$@") &
    ray=$!
    trap 'kill -TERM "$ray" 2>/dev/null || true' TERM USR1
    while :; do
        status=0
        wait "$ray" || status=$?
        # A signal ends `wait` before Ray has ended.
        if ! kill -0 "$ray" 2>/dev/null; then break; fi
    done
    rm -rf "$folder"
    return "$status"
}

steps=() nodes=''
# shellcheck disable=SC2329  # a trap calls it
stop_cluster() {
    trap - EXIT
    for step in "${steps[@]}"; do kill -TERM "$step" 2>/dev/null || true; done
    if [ -n "$nodes" ]; then
        for _ in {1..20}; do
            kill -USR1 "$nodes" 2>/dev/null || break
            sleep 1
        done
        kill -TERM "$nodes" 2>/dev/null || true
    fi
    wait || true
    rm -rf "$temporary" "$RAY_AUTH_TOKEN_PATH"
}
trap stop_cluster EXIT

# Beside the supervisor, which the first node runs too: a step of its own would wait for the allocation's CPUs.
run_node "$temporary" --head --node-ip-address="$head" --port="$port" --include-dashboard=false "${common[@]}" \
    >"ray-head-$job.log" 2>&1 &
ray_head=$!
steps+=("$ray_head")
export RAY_ADDRESS=$head:$port
# The port first: Ray's own check waits long for one that is closed.
answers() { (: <"/dev/tcp/$head/$port") 2>/dev/null && ray health-check --address "$RAY_ADDRESS" >/dev/null 2>&1; }
until answers; do
    if [ "$SECONDS" -gt 180 ] || ! kill -0 "$ray_head" 2>/dev/null; then
        echo "Ray's head does not answer at $RAY_ADDRESS; see $PWD/ray-head-$job.log" >&2
        exit 1
    fi
    sleep 1
done
others=$((${SLURM_JOB_NUM_NODES:-1} - 1))
if [ "$others" -gt 0 ]; then
    # srun takes the CPUs of a task from no variable of sbatch (since SLURM 22.05). A lost node costs its trials alone.
    srun --nodes="$others" --ntasks="$others" --exclude="$node" --cpus-per-task="$cpus" --export=ALL \
        --no-kill --kill-on-bad-exit=0 bash -c "$(declare -f run_node); run_node \"\$@\"" node \
        "$temporary" --address="$RAY_ADDRESS" "${common[@]}" >"ray-nodes-$job.log" 2>&1 &
    nodes=$!
    (
        while kill -0 "$nodes" 2>/dev/null; do sleep 1; done
        echo "Ray has ended on the other nodes, so the study has this one alone; see $PWD/ray-nodes-$job.log" >&2
    ) &
    steps+=($!)
fi

# In the background, and waited for: bash handles SIGTERM only between commands. Not SIGINT, which bash lets processes in
# the background ignore.
# Nothing is kept for a next command: the job ends with this one.
KERASTUDY_WARM_SECONDS=0 kerastudy run "$study" "$@" &
supervisor=$!
# Nobody starts another head in this job: without this, the study would wait for one (resources.reconnect).
(
    while kill -0 "$ray_head" 2>/dev/null; do sleep 1; done
    echo "Ray's head has ended, so the study is paused; see $PWD/ray-head-$job.log" >&2
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
