"""The process in which a test's fleets run: reads `FleetRun`s by name, writes the `Outcome`s of each one's trials."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from unittest.mock import patch

import jax
from fleet_cases import FleetRun, Outcome

from pipelines.training.checkpoint import Checkpoint
from pipelines.training.fleet import program as program_module
from pipelines.training.fleet.envelope import Envelope, find_envelope
from pipelines.training.fleet.fleet import EndedMember, Fleet
from pipelines.training.fleet.member import build_member
from pipelines.training.fleet.program import Program


def run_fleet(run: FleetRun, programs: dict[Any, Program]) -> dict[str, Outcome]:
    """Train a run's trials; fleets alike in setting and envelope share their program."""
    setting = run.setting
    members = {
        name: build_member(trial.values, setting.per_layer, setting.family) for name, trial in run.trials.items()
    }
    beside = [build_member(trial.values, setting.per_layer, setting.family) for trial in run.beside]
    envelope = find_envelope([*members.values(), *beside])
    program = _program(run, envelope, programs)
    fleet: Fleet[str] = Fleet(
        program, run.slots, metric=setting.metric, direction=setting.direction, per_layer=setting.per_layer
    )
    waiting = {name: (members[name], trial.schedule(setting)) for name, trial in run.trials.items()}
    running: dict[str, int] = {}
    checkpoints: dict[str, Checkpoint] = {}
    outcomes: dict[str, Outcome] = {}
    while waiting or running:
        admitted = [*waiting][: fleet.free]
        fleet.admit({name: waiting.pop(name) for name in admitted}, checkpoints)
        running |= {name: len(checkpoints[name].history) if name in checkpoints else 0 for name in admitted}
        fleet.train_epoch()
        decisions = {name: "prune" for name, epoch in running.items() if run.trials[name].pruned_at == epoch}
        decisions |= {name: "pause" for name, epoch in running.items() if run.paused_after.get(name) == epoch}
        ended = fleet.take_ended(decisions)
        for name in [name for name, end in ended.items() if end.checkpoint is not None]:
            checkpoints[name] = ended.pop(name).checkpoint
            waiting[name] = members[name], run.trials[name].schedule(setting)
        outcomes |= {name: _outcome(end) for name, end in ended.items()}
        for name in [name for name, epoch in running.items() if run.cut_after.get(name) == epoch]:
            checkpoints[name] = fleet.capture(name)
            fleet.release(name)
            waiting[name] = members[name], run.trials[name].schedule(setting)
        running = {name: epoch + 1 for name, epoch in running.items() if name not in ended and name not in waiting}
    return outcomes


def _program(run: FleetRun, envelope: Envelope, programs: dict[Any, Program]) -> Program:
    setting = run.setting
    key = (repr(setting), envelope, repr(run.constants))
    if key not in programs:
        programs[key] = Program(envelope, setting.features, setting.task, setting.training, setting.rows())
    return programs[key]


def _outcome(end: EndedMember) -> Outcome:
    if end.fitted is None:
        return Outcome(failure=str(end.failure))
    return Outcome(end.fitted.history, end.fitted.best_epoch, end.fitted.pruned, end.weights)


def main(given: Path, results: Path) -> None:
    """Run the fleets in one file and write their outcomes to another."""
    runs: Mapping[str, FleetRun] = pickle.loads(given.read_bytes())
    programs: dict[Any, Program] = {}
    outcomes = {}
    for name, run in runs.items():
        with patch.dict(vars(program_module), run.constants), jax.disable_jit(not run.compiled):
            outcomes[name] = run_fleet(run, programs)
    results.write_bytes(pickle.dumps(outcomes))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
