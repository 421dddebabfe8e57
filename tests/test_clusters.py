"""Hosts without Kubernetes: shell scripts, systemd units, and the SLURM script with stand-ins for SLURM's commands."""

from __future__ import annotations

import configparser
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest

from pipelines import cli

ROOT = Path(__file__).parents[1]
SHELLCHECK = Path(sys.executable).with_name("shellcheck")
SLURM = ROOT / "docker/slurm/study.sh"
SCRIPTS = sorted(
    ROOT / name
    for name in subprocess.run(
        ["git", "ls-files", "*.sh"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
)
UNITS = [ROOT / "docker/kerastudy-supervise.service", ROOT / "docker/ray-node.service"]
# Commands that write down how they were called; `ray` answers as a head that has started. As SLURM's, `srun` kills its
# task on SIGTERM and passes SIGUSR1 on, and a node's name is no host's.
FAKES = {
    "srun": """
[ -z "$NO_NODES" ] || exit 1
while [ "${1#--}" != "$1" ]; do shift; done
"$@" &
task=$!
trap 'kill -USR1 $task' USR1
trap 'kill -KILL $task' TERM
while kill -0 $task 2>/dev/null; do wait $task; done
""",
    "scontrol": 'echo "NodeName=$4 Arch=x86_64 Gres=(null) NodeAddr=$NODE_ADDRESS NodeHostName=node.test Port=6818"',
    "hostname": 'if [ "$1" = -I ]; then echo "127.0.0.2 192.0.2.1"; else echo node.test; fi',
    "ray": """
case $1 in
start)
    echo "token $RAY_AUTH_MODE $(stat -c %a "$RAY_AUTH_TOKEN_PATH")" >>"$CALLS"
    sleep "$HEAD_LIVES" &
    trap 'kill $!; echo "ray ended" >>"$CALLS"' TERM
    wait $!
    ;;
health-check) [ -z "$DEAD" ];;
esac
""",
    "kerastudy": """
echo "address $RAY_ADDRESS home $KERASTUDY_HOME warm $KERASTUDY_WARM_SECONDS" >>"$CALLS"
trap 'echo interrupted >>"$CALLS"; sleep 0.3; echo put back >>"$CALLS"; exit 130' TERM
for _ in $(seq "$LIVES"); do sleep 0.1; done
exit "$STATUS"
""",
}


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda file: file.name)
def test_scripts_are_clean(script):
    """Bash can read every script, and shellcheck finds nothing."""
    assert subprocess.run(["bash", "-n", script], check=False).returncode == 0
    done = subprocess.run([SHELLCHECK, "-x", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.fixture
def slurm(tmp_path):
    """Start the script as a job of some nodes; returns the process and the file with the calls."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, body in FAKES.items():
        file = folder / name
        file.write_text(f'#!/usr/bin/env bash\necho "{name} $*" >>"$CALLS"\n{body}\n')
        file.chmod(0o755)
    (tmp_path / "study.yaml").write_text("study: s\n")
    calls = tmp_path / "calls"
    calls.touch()

    def start(*arguments, nodes=3, lives=2, status=0, dead="", port=None, head_lives=100, **variables):
        job = 20_000 if port is None else port - 20_000
        environment = {
            **os.environ,
            "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}",
            "CALLS": str(calls),
            "LIVES": str(lives),
            "STATUS": str(status),
            "DEAD": dead,
            "HEAD_LIVES": str(head_lives),
            "SLURM_JOB_ID": str(job),
            "SLURM_JOB_NUM_NODES": str(nodes),
            "SLURM_CPUS_PER_TASK": "16",
            "SLURM_GPUS_ON_NODE": "2",
            "SLURMD_NODENAME": "n7",
            "NODE_ADDRESS": "localhost",
            "NO_NODES": "",
            **variables,
        }
        environment.pop("KERASTUDY_HOME", None)
        command = ["bash", SLURM, *arguments]
        return subprocess.Popen(
            command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    return start, calls


@pytest.fixture
def listening():
    """A port on which the fake head answers, as the script sees it."""
    import socket

    with socket.socket() as listener:
        for port in range(20_000, 39_999):
            try:
                listener.bind(("", port))
            except OSError:
                continue
            break
        listener.listen()
        yield port


SIZES = "--num-cpus=16 --num-gpus=2 --disable-usage-stats --block"


@pytest.mark.parametrize(("node_address", "head"), [("localhost", "127.0.0.2"), ("0.0.0.0", "0.0.0.0")])
def test_a_job_runs_a_study_on_all_nodes(slurm, listening, tmp_path, node_address, head):
    """The head starts here, the other nodes by srun, and the study with its options; the exit code is the study's.

    The head's address is SLURM's, unless that leads to the loopback. The step has the CPUs that Ray counts.
    """
    start, calls = slurm
    process = start("study.yaml", "--trials", "40", port=listening, status=1, NODE_ADDRESS=node_address)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 1, errors
    lines = calls.read_text().splitlines()
    (started,) = (line for line in lines if line.startswith("ray start") and "--head" in line)
    assert f"--head --node-ip-address={head} --port={listening} --include-dashboard=false {SIZES}" in started
    (step,) = (line for line in lines if line.startswith("srun "))
    assert step.startswith("srun --nodes=2 --ntasks=2 --exclude=n7 --cpus-per-task=16 --export=ALL ")
    assert any(line.startswith("ray start") and f" --address={head}:{listening} {SIZES}" in line for line in lines)
    assert "kerastudy run study.yaml --trials 40" in lines
    assert f"address {head}:{listening} home {tmp_path}/.kerastudy warm 0" in lines
    # The token is for this user alone, and gone afterwards.
    assert "token token 600" in lines
    assert list((tmp_path / ".kerastudy").iterdir()) == []


def test_nodes_end_in_order(slurm, listening):
    """Ray on the other nodes gets SIGTERM and can clean up; srun would kill it. Each removes its temporary folder."""
    start, calls = slurm
    process = start("study.yaml", port=listening, lives=30)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert errors == ""
    lines = calls.read_text().splitlines()
    starts = [line for line in lines if line.startswith("ray start")]
    assert len(starts) == lines.count("ray ended") == 2
    folders = {word.removeprefix("--temp-dir=") for line in starts for word in line.split() if "--temp-dir=" in word}
    assert [Path(folder).exists() for folder in folders] == [False]


def test_missing_nodes_are_reported(slurm, listening):
    """A study goes on beside the head, and a line states that it has one node, and where the reason is."""
    start, _ = slurm
    process = start("study.yaml", port=listening, lives=40, NO_NODES="1")
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0
    assert "Ray has ended on the other nodes, so the study has this one alone; see" in errors


def test_ray_counts_the_memory_of_the_job(slurm, listening):
    """A job with less memory than its machines does not offer theirs."""
    start, calls = slurm
    process = start("study.yaml", port=listening, nodes=1, SLURM_MEM_PER_CPU="100")
    process.communicate(timeout=300)
    assert f"{SIZES} --memory={1600 * 734003} --object-store-memory={1600 * 209715}" in calls.read_text()


def test_the_time_limit_pauses_the_study(slurm, listening):
    """SLURM's SIGTERM reaches the supervisor, which puts its trials back before the nodes go."""
    start, calls = slurm
    process = start("study.yaml", nodes=1, lives=300, port=listening)
    deadline = time.monotonic() + 60
    while "kerastudy run" not in calls.read_text():
        assert time.monotonic() < deadline, process.communicate()
        time.sleep(0.1)
    time.sleep(0.3)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=300)
    assert process.returncode == 130
    assert calls.read_text().splitlines()[-3:] == ["interrupted", "put back", "ray ended"]


def test_a_lost_head_pauses_the_study(slurm, listening):
    """Nobody starts another one in this job, so nothing is waited for."""
    start, calls = slurm
    process = start("study.yaml", nodes=1, lives=600, port=listening, head_lives=4)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 130, errors
    assert "Ray's head has ended, so the study is paused" in errors
    assert calls.read_text().splitlines()[-2:] == ["interrupted", "put back"]


@pytest.mark.parametrize(("arguments", "reason"), [((), "usage: sbatch"), (("no.yaml",), "no.yaml: there is no such")])
def test_a_wrong_call_starts_nothing(slurm, arguments, reason):
    """A missing study file is an error before any node is started."""
    start, calls = slurm
    process = start(*arguments)
    _, errors = process.communicate(timeout=300)
    assert process.returncode != 0
    assert reason in errors
    assert calls.read_text() == ""


@pytest.mark.parametrize("unit", UNITS, ids=lambda file: file.name)
def test_units_start_what_exists(unit):
    """Commands parse, secrets are credentials, and the home is mounted first."""
    read = configparser.RawConfigParser(strict=False, delimiters="=", comment_prefixes="#")
    read.optionxform = str  # type: ignore[assignment, method-assign]
    read.read(unit, encoding="utf-8")
    service = read["Service"]
    for key in ("ExecStartPre", "ExecStart"):
        program, *arguments = shlex.split(service.get(key, "")) or [""]
        if program.endswith("/kerastudy"):
            verb, *options = arguments
            found = cli.commands.commands[verb]
            with click.Context(found, info_name=verb) as context:
                found.parse_args(context, options)
    assert service["User"] == "kerastudy"
    assert "LoadCredential" in service
    assert service["KillMode"] == "mixed"
    assert read["Unit"]["RequiresMountsFor"] == service["WorkingDirectory"] == service["ReadWritePaths"]
