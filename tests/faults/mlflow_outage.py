"""Outage of the MLflow server during a study, and a measurement of its cost.

    python tests/faults/mlflow_outage.py [--before 60] [--away 300] [--after 60]

A study of real trainings is run by the real command and recorded to a real `mlflow server`, which is killed and, after
some minutes, started again with the same database. Measured are how long epochs take with the server there, away, while
the backlog is delivered and after it, and how long it takes until everything from before its return has arrived. At the
end every promise of `promises.py` is checked.

The exit status is 0 where every promise was kept.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

import sqlalchemy as sa
from command import COMMAND, environment
from fake_mlflow import MlflowProcess
from promises import find_broken_promises

from pipelines.training.trial_folder import read_epochs
from pipelines.workspace.home import Home
from tracking.store.database import Store
from tracking.store.tables import outbox

NAME = "outage"
_TOO_FEW = "trials, the budget is"
STUDY = """
study: outage
data: {source: "sklearn:digits"}
model: mlp
space:
  depth: 2
  units: [128, 256]
  batch_size: 16
  learning_rate: {type: float, low: 1e-4, high: 1e-2, log: true}
  epochs: 40
training: {early_stopping: null}
search: {sampler: random, pruner: none, seed: 1}
budget: {trials: 100000}
resources: {workers: 1, fleet: off}
"""


@dataclass(frozen=True)
class Epochs:
    """Durations of epochs in one part of the study."""

    count: int
    median_ms: float
    p90_ms: float


@dataclass(frozen=True)
class Outage:
    """Cost of an outage.

    Attributes:
        epochs: by what was the matter: there, away, catching up, back.
        backlog: records that waited when the server was back.
        empty_s: how long it took from the server's return until MLflow had taken them.
        trials: trials of the study, which ended as MLflow shows it.
        broken: promises that were not kept.
    """

    away_s: float
    epochs: Mapping[str, Epochs]
    backlog: int
    empty_s: float
    trials: int
    broken: Sequence[str]


def outage(folder: Path, *, before_s: float, away_s: float, after_s: float) -> Outage:
    """Run a study whose MLflow server is away for a while; everything is written below `folder`."""
    server = MlflowProcess(folder / "server")
    home = Home(folder / "home", str(folder / "home"))
    file = folder / "study.yaml"
    file.write_text(STUDY)
    server.start()
    command = [COMMAND, "--home", home.folder, "run", file]
    settings = environment(MLFLOW_TRACKING_URI=server.address)
    try:
        with (
            (folder / "run.log").open("wb") as log,
            subprocess.Popen(command, cwd=folder, env=settings, stdout=log, stderr=subprocess.STDOUT) as study,
        ):
            _wait_until(lambda: any(home.locate_study(NAME).glob("trials/*/fold-0-epochs.jsonl")), study)
            began = time.time()
            _wait_until(lambda: time.time() > began + before_s, study)
            server.kill()
            killed = time.time()
            _wait_until(lambda: time.time() > killed + away_s, study)
            server.start()
            back = time.time()
            with Store.open(home.store) as store:
                last = _last_row(store)
                backlog = _waiting(store, last)
                _wait_until(lambda: _waiting(store, last) == 0, study)
            empty = time.time()
            _wait_until(lambda: time.time() > empty + after_s, study)
            subprocess.run(
                [COMMAND, "--home", home.folder, "stop", NAME], cwd=folder, env=settings, stdout=log, check=True
            )
            study.wait(timeout=600)
        # This script ends the study; it must not reach its number of trials.
        broken = [
            each for each in find_broken_promises(home.folder, tracking_uri=server.address) if _TOO_FEW not in each
        ]
    finally:
        server.kill()
    phases = {"there": (began, killed), "away": (killed, back), "catching up": (back, empty), "back": (empty, 1e12)}
    took = _epochs(home)
    return Outage(
        away_s=back - killed,
        epochs={name: _summary([ms for at, ms in took if start <= at < end]) for name, (start, end) in phases.items()},
        backlog=backlog,
        empty_s=empty - back,
        trials=len(list(home.locate_study(NAME).glob("trials/*"))),
        broken=broken,
    )


def _epochs(home: Home) -> list[tuple[float, float]]:
    """Return when each epoch of each trial ended, and the milliseconds it took; the first of a trial is left out."""
    took = []
    for folder in sorted(home.locate_study(NAME).glob("trials/*")):
        ends = [done.at_ms for done in read_epochs(folder)]
        took += [(end / 1000, float(end - start)) for start, end in itertools.pairwise(ends)]
    return took


def _summary(took: Sequence[float]) -> Epochs:
    if len(took) < 2:
        return Epochs(len(took), 0.0, 0.0)
    return Epochs(len(took), statistics.median(took), statistics.quantiles(took, n=10)[-1])


def _last_row(store: Store) -> int:
    with store.read() as connection:
        return connection.scalar(sa.select(sa.func.max(outbox.c.id))) or 0


def _waiting(store: Store, last: int) -> int:
    """Return how many of the rows up to one have not arrived."""
    query = sa.select(sa.func.count()).where(outbox.c.id <= last, outbox.c.status != "kept")
    with store.read() as connection:
        return connection.scalar(query) or 0


def _wait_until(condition: Callable[[], bool], study: subprocess.Popen[bytes]) -> None:
    while not condition():
        assert study.poll() is None, "the study ended early"
        time.sleep(0.1)


def main() -> int:
    """Measure, print and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, seconds in (("before", 60), ("away", 300), ("after", 60)):
        parser.add_argument(f"--{name}", type=float, default=seconds, metavar="SECONDS")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="kerastudy-outage-") as folder:
        found = outage(Path(folder), before_s=arguments.before, away_s=arguments.away, after_s=arguments.after)
    print(json.dumps(asdict(found), indent=2))
    return 1 if found.broken else 0


if __name__ == "__main__":
    sys.exit(main())
