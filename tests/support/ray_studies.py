"""Studies that run on a Ray cluster in a process of their own, and what has come of their trials."""

from __future__ import annotations

import subprocess
import time
from contextlib import contextmanager

from command import COMMAND, environment

from pipelines.queries.study_reader import StudyReader
from pipelines.workspace.home import Home


@contextmanager
def running(folder, file, address):
    """Run a study on a cluster in a process of its own."""
    with (folder / "output.txt").open("a") as output:
        arguments = [COMMAND, "--home", folder / "home", "run", file, "--set", f"resources.address={address}"]
        process = subprocess.Popen(arguments, cwd=folder, env=environment(), stdout=output, stderr=subprocess.STDOUT)
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def read_trials(folder):
    """Return the trials of the study; none before it is in the queue."""
    try:
        with StudyReader.open(Home(folder / "home", str(folder / "home"))) as reader:
            return list(reader.list_trials("it"))
    except Exception:
        return []


def count_ended(folder):
    """Return how many trials have ended."""
    return sum(trial.state in ("complete", "failed", "pruned") for trial in read_trials(folder))


def wait_for(condition, process, folder, within_s=300.0):
    """Wait until a condition holds, while the study runs."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert process.poll() is None, (folder / "output.txt").read_text()[-3000:]
        assert time.monotonic() < deadline, (folder / "output.txt").read_text()[-3000:]
        time.sleep(0.5)
