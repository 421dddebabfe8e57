"""A fleet whose worker is killed, or hangs, is divided; no trial is lost and none is trained twice."""

from __future__ import annotations

import os
import signal
import subprocess
import time

import pytest
from command import COMMAND, environment, kerastudy
from fault_studies import STUDY, write_study
from process_tree import find_workers, is_running
from promises import find_broken_promises

STALL_S = 20
FLEET = (
    STUDY.replace("epochs: 4", "epochs: 2000")
    .replace("fleet: off", "fleet: 4")
    .replace("budget:", f"limits: {{attempts: 20, stall: {STALL_S}s}}\nbudget:")
)


def epochs(home):
    """Return how much has been written of all trials' epochs."""
    return sum(file.stat().st_size for file in home.glob("studies/it/trials/*/fold-0-epochs.jsonl"))


@pytest.mark.slow
@pytest.mark.parametrize(("struck_by", "times"), [(signal.SIGKILL, 10), (signal.SIGSTOP, 3)])
def test_a_fleets_worker_is_struck_again_and_again(struck_by, times, tmp_path):
    """The worker is killed after each progress of the fleet; the study still ends with its budget."""
    file, home = write_study(tmp_path, FLEET.replace("trials: 6", "trials: 12")), tmp_path / "home"
    with (tmp_path / "output.txt").open("w") as output:
        command = [COMMAND, "--home", home, "run", file]
        process = subprocess.Popen(command, env=environment(), stdout=output, stderr=output)
    struck = {}
    try:
        grown, deadline = 0, time.monotonic() + 500
        while process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.1)
            for worker, at in [*struck.items()]:
                if at is not None and not is_running(worker):
                    print(f"{struck_by.name}: gone after {time.monotonic() - at:.1f} s")
                    assert time.monotonic() - at < STALL_S + 15
                    struck[worker] = None
            workers = [worker for worker in find_workers(process.pid) if worker not in struck]
            if len(struck) < times and workers and epochs(home) > grown + 200_000:
                grown = epochs(home)
                busiest = max(workers, key=lambda worker: sum(worker.cpu_times()[:2]))
                os.kill(busiest.pid, struck_by)
                struck[busiest] = time.monotonic()
    finally:
        process.kill()
        process.wait()
    said = (tmp_path / "output.txt").read_text()
    assert process.returncode == 0, said
    assert "Traceback" not in said
    assert struck
    assert find_broken_promises(home) == []
    print(f"{struck_by.name}: {len(struck)} times; {kerastudy('--home', home, 'show', 'it', cwd=tmp_path).stdout}")
