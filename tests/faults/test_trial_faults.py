"""A trial that ends its worker, or outgrows or outlasts it, costs attempts of that trial and nothing else."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import faulty_model
import psutil
import pytest
from command import COMMAND, environment, kerastudy_here
from mlflow import MlflowClient
from promises import find_broken_promises

from tracking.mlflow import urls

STALL_S, TRIAL_S = 20, 20
PROMISED_S = 15.0
"""How long after a limit is passed a worker may be there."""

STUDY = """
study: it
data: {{source: "sklearn:wine"}}
model: faulty_model.py:Model
space:
  fault: {faults}
  times: [0, 1, 9]
  which: {{type: int, low: 0, high: 99}}
  learning_rate: 0.01
  start_from:
{points}
objective: {{metric: val_accuracy}}
search: {{sampler: random, pruner: none, seed: 1, undeclared: fix}}
budget: {{trials: {trials}}}
limits: {{trial_time: {trial_s}s, stall: {stall_s}s, memory: 1200MB, attempts: 2}}
resources: {{workers: 2}}
"""
REASONS = {
    "segfault": "killed by SIGSEGV",
    "killed": "killed by SIGKILL",
    "leaves": "exited with status 3",
    "memory": "emory",
    "hang": "no progress for ",
    "overtime": f"over its time limit of {TRIAL_S} s",
}


@dataclass(frozen=True)
class Watched:
    """A study of faults that was run: how late its workers ended, and its trials."""

    home: Path
    output: str
    late_s: dict[str, float]
    trials: list[dict]
    shown: str

    def of(self, fault, times):
        """Return the trials with a fault in so many attempts."""
        return [each for each in self.trials if (each["params"]["fault"], each["params"]["times"]) == (fault, times)]


def run(
    folder: Path, faults: list[tuple[str, int]], *, timeout_s: float, trial_s: int = 300, stall_s: int = STALL_S
) -> Watched:
    """Run a study whose trials fail so, in so many attempts each; watch how long each worker lives that should not."""
    shutil.copyfile(faulty_model.__file__, folder / "faulty_model.py")
    notes = folder / "notes"
    notes.mkdir()
    points = "\n".join(
        f"    - {{fault: {fault}, times: {times}, which: {which}}}" for which, (fault, times) in enumerate(faults)
    )
    file = folder / "study.yaml"
    choices = list(dict.fromkeys(["none", *dict(faults)]))
    file.write_text(
        STUDY.format(points=points, trials=len(faults), trial_s=trial_s, stall_s=stall_s, faults=json.dumps(choices))
    )
    home = folder / "home"
    with (folder / "output.txt").open("w") as output:
        process = subprocess.Popen(
            [COMMAND, "--home", home, "run", file],
            env=environment(FAULTS_FOLDER=str(notes)),
            stdout=output,
            stderr=output,
        )
    gone = _watch(process, notes, timeout_s)
    said = (folder / "output.txt").read_text()
    assert process.returncode == 0, said
    late_s = {}
    for name, at in gone.items():
        noted = json.loads((notes / name).read_text())["at"]
        begun = json.loads((notes / name.replace("struck", "begun")).read_text())["at"]
        allowed = {"hang": noted + stall_s, "overtime": begun + TRIAL_S}.get(name.partition("-")[0], noted)
        late_s[name] = at - allowed
    trials = json.loads(kerastudy_here("--home", home, "trials", "it", "--json", cwd=folder).stdout)
    return Watched(home, said, late_s, trials, kerastudy_here("--home", home, "show", "it", cwd=folder).stdout)


def _watch(process: subprocess.Popen, notes: Path, timeout_s: float) -> dict[str, float]:
    """Wait for the command to end; return when the worker of each fault was gone."""
    gone: dict[str, float] = {}
    deadline = time.monotonic() + timeout_s
    while process.poll() is None:
        if time.monotonic() > deadline:
            process.kill()
            raise AssertionError(f"the study has not ended after {timeout_s} s")
        for note in notes.glob("*-struck-*"):
            if note.name not in gone and (text := note.read_text()) and not psutil.pid_exists(json.loads(text)["pid"]):
                gone[note.name] = time.time()
        time.sleep(0.1)
    return gone


def check(watched: Watched, faults: list[tuple[str, int]], *, timed: bool = False) -> None:
    """Each trial has the end that its faults lead to, with the reason; no other trial does.

    With `timed`, each worker was gone in time too: only where nothing else keeps the machine busy.
    """
    assert "Traceback" not in watched.output
    assert len(watched.trials) == len(faults)
    client = MlflowClient(urls.make_home_tracking_uri(watched.home))
    runs = {
        run.data.tags["number"]: run
        for run in client.search_runs([client.get_experiment_by_name("it").experiment_id])
        if "number" in run.data.tags
    }
    for trial in watched.trials:
        fault, times = trial["params"]["fault"], trial["params"]["times"]
        # The time that a trial may take is that of all attempts.
        failed = times >= (1 if fault == "overtime" else 2)
        assert trial["state"] == ("failed" if failed else "complete"), trial
        if failed:
            assert REASONS[fault] in trial["reason"], trial
            assert trial["reason"] in runs[str(trial["number"])].data.tags["mlflow.note.content"]
    assert find_broken_promises(watched.home, models=False) == []
    if timed:
        late = {name: late_s for name, late_s in watched.late_s.items() if late_s >= PROMISED_S}
        assert late == {}, "seconds that a worker was there after it should have been gone"


@pytest.mark.long
def test_each_fault_costs_its_trial(tmp_path):
    """A crash that happens once costs an attempt; a fault in each attempt fails the trial, with its reason."""
    faults = [("hang", 1), ("segfault", 1), ("memory", 9)]
    # A training that makes its first graph is silent too: for 20 s at a load of 10 on two cores.
    watched = run(tmp_path, faults, timeout_s=500, stall_s=60)
    check(watched, faults)
    for fault in ("segfault", "hang"):
        [trial] = watched.of(fault, 1)
        assert REASONS[fault] in json.dumps(trial), "the lost attempt is told, though the trial completed"
    assert any(reason in watched.shown for reason in REASONS.values()), watched.shown


@pytest.mark.slow
@pytest.mark.parametrize("fault", [*REASONS])
def test_ten_faults_of_a_kind_cost_their_trials(fault, tmp_path):
    """Ten trials go wrong in each attempt and two in their first; all others of the study complete."""
    faults = [("none", 0), *[(fault, 9)] * 10, *[(fault, 1)] * 2, ("none", 0)]
    watched = run(tmp_path, faults, timeout_s=550, trial_s=TRIAL_S if fault == "overtime" else 300)
    check(watched, faults, timed=True)
    print(f"{fault}: workers gone {max(watched.late_s.values()):.1f} s at most after the limit or the fault")
