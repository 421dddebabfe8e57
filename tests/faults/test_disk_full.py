"""A full disk pauses a study with the reason; nothing acknowledged is lost, and the same command continues."""

from __future__ import annotations

import re
import subprocess
import time

import pytest
from command import COMMAND, environment
from forked_runs import Request, fill_up, free_space, run_lives
from promises import find_broken_promises, load_acknowledged
from small_disk import explain_unavailable, mount_small_disk
from small_studies import write_mixed_csv

MB = 2**20
DISK = 64 * MB
STUDY = """
study: it
data: {source: mixed.csv, target: bought, split: {validation: 0.25, test: 0.2, seed: 1}}
model: mlp
space:
  depth: 1
  units: [4, 8]
  batch_size: 16
  learning_rate: {type: float, low: 1e-3, high: 1e-1, log: true}
  epochs: %EPOCHS%
objective: {metric: val_accuracy}
training: {early_stopping: null}
search: {sampler: random, pruner: none, seed: 2}
budget: {trials: %TRIALS%}
resources: {workers: 1, fleet: off}
tracking: {keep_models: 2}
"""


@pytest.fixture
def disk(tmp_path):
    """A small disk, and a study file next to it."""
    if reason := explain_unavailable(tmp_path):
        pytest.skip(reason)
    write_mixed_csv(tmp_path / "mixed.csv", rows=400)
    with mount_small_disk(tmp_path / "disk", DISK) as mounted:
        yield mounted


@pytest.mark.long
@pytest.mark.parametrize("left", [0, pytest.param(300_000, marks=pytest.mark.slow)])
def test_a_full_disk_pauses_and_loses_nothing(left, disk, tmp_path):
    """The study states that the disk is full; with room again it ends with its budget."""
    file, home = tmp_path / "study.yaml", disk / "home"
    file.write_text(STUDY.replace("%EPOCHS%", "3").replace("%TRIALS%", "5"))
    full, after = run_lives(Request(str(file), str(home), ("", ""), fill=(left, None)))
    assert "no room is left on the disk" in full.output, full.output
    assert full.ended, "a trial had ended before"
    assert after.output.startswith("finished"), after.output
    assert {number: after.ended[number] for number in full.ended} == full.ended
    assert find_broken_promises(home, models=False) == []


LEVELS = [0, 4096, *(step * step * 12_000 for step in range(1, 19))]
"""Bytes that are left free: from none to 4 MB, which is about what the rest of the study takes."""


@pytest.mark.slow
@pytest.mark.parametrize("left", LEVELS)
def test_a_disk_that_fills_up_at_any_level_loses_nothing(left, disk, tmp_path):
    """The real command pauses or fails to start with the reason and no traceback, and continues when there is space."""
    file, home = tmp_path / "study.yaml", disk / "home"
    file.write_text(STUDY.replace("%EPOCHS%", "150").replace("%TRIALS%", "4"))
    command = [COMMAND, "--home", home, "run", file]
    output = tmp_path / "output.txt"
    with output.open("w") as stream:
        process = subprocess.Popen(command, env=environment(), stdout=stream, stderr=stream)
    try:
        deadline = time.monotonic() + 120
        while not load_acknowledged(home, "it") and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.2)
        fill_up(home, left)
        status = process.wait(timeout=180)
    finally:
        process.kill()
        process.wait()
    again = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=180, check=False)
    free_space(home)
    first, second = output.read_text(), again.stdout + again.stderr
    before = load_acknowledged(home, "it")
    print(f"{left:>9} bytes left: exit status {status}, {len(before)} of 4 trials; again: {again.returncode}")
    for code, text in ((status, first), (again.returncode, second)):
        assert "Traceback" not in text, text
        assert code == 0 or re.search("no room is left|disk is full|No space left", text), text
    last = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=180, check=False)
    assert last.returncode == 0, last.stdout + last.stderr
    after = load_acknowledged(home, "it")
    assert {number: after.get(number) for number in before} == before
    assert find_broken_promises(home) == []
