"""Overhead of kerastudy per trial, without training: suggesting, recording, storing results, delivery to MLflow.

A study runs through the real supervisor, search, recorder, outbox and MLflow (both databases SQLite files), with an
engine whose trials end at once with a curve of 20 epochs. Every figure is CPU time of the thread that does the work,
so that other work on the machine does not count; commits are counted too, since each waits for the disk.

    python benchmarks/own_cost.py [--trials N] [--sampler random|tpe] [--pruner none|median|hyperband] [--workers N]
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import psutil
import sqlalchemy as sa

from pipelines.data.prepared import DataSummary, Features, RawColumn, Task
from pipelines.engines.base import Event, Finished, Job, Reported, Requested
from pipelines.operations.submit import enqueue
from pipelines.recording.recorder import Recorder
from pipelines.search.optuna_search import OptunaSearch
from pipelines.study.load import check_document
from pipelines.study.study import Study
from pipelines.supervisor.events import TrialEnded
from pipelines.supervisor.supervisor import Supervisor
from pipelines.training.messages import EpochDone, RungReached, TrialJob, TrialOutcome, TrialResult
from pipelines.training.trial_folder import ARTIFACTS
from pipelines.workspace.home import Home
from search_spaces.yaml_reader import parse_document
from tracking.mlflow import urls
from tracking.mlflow.projection import MlflowProjection
from tracking.mlflow.sink import make_sink_factory
from tracking.outbox.dispatcher import OutboxDispatcher
from tracking.outbox.outbox import Outbox
from tracking.outbox.records import Record, StudyClosed, StudyOpened
from tracking.reports import learning_curve
from tracking.store.database import Store

EPOCHS = 20
METRICS = ("loss", "accuracy", "val_loss", "val_accuracy")
FILE = """
study: own-cost
data: {{source: data.csv, target: y}}
model: mlp
space:
  depth: {{type: int, low: 1, high: 3}}
  units: {{type: int, low: 8, high: 128, log: true, repeat: depth}}
  dropout: {{type: float, low: 0.0, high: 0.5, step: 0.1}}
  activation: [relu, tanh, silu]
  l2: {{type: float, low: 1e-8, high: 1e-2, log: true}}
  batch_size: [32, 64, 128]
  optimizer: [sgd, adam]
  momentum: {{type: float, low: 0.0, high: 0.99, when: {{optimizer: sgd}}}}
  learning_rate: {{type: float, low: 1e-4, high: 1e-1, log: true}}
  epochs: 20
objective: {{metric: val_loss, direction: minimize}}
search: {{sampler: {sampler}, pruner: {pruner}, seed: 1}}
budget: {{trials: {trials}}}
resources: {{fleet: off}}
"""
SUMMARY = DataSummary(
    source="data.csv",
    task=Task("binary", ("y",), classes=("no", "yes")),
    features=Features(dense=1),
    raw=(RawColumn("x", "numeric", (), "float32", "x"),),
    rows={"train": 800, "validation": 200, "test": 0},
    folds=1,
    digest="ab" * 32,
    encodings={"x": "number"},
)


class Spent:
    """CPU milliseconds by part and trial, of whatever thread does the work."""

    def __init__(self) -> None:
        self.ms: dict[str, dict[int, float]] = defaultdict(lambda: defaultdict(float))
        self.current = 0

    def time_calls(
        self, owner: Any, name: str, part: str, make_numbers: Callable[..., Sequence[int]] | None = None
    ) -> None:
        """Count every call of a method as a part's: for the trials that `numbers_of` names, or for the current one."""
        real = getattr(owner, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            started = time.thread_time()
            try:
                return real(*args, **kwargs)
            finally:
                ms = 1000 * (time.thread_time() - started)
                numbers = (self.current,) if make_numbers is None else make_numbers(*args)
                for number in numbers:
                    self.ms[part][number] += ms / len(numbers)

        setattr(owner, name, call)


class InstantEngine:
    """Engine whose trials end when they are submitted; their messages wait for `events`."""

    def __init__(self, workers: int, spent: Spent) -> None:
        self.workers = workers
        self._spent = spent
        self._running: dict[str, Iterator[Event]] = {}
        self.pruned: dict[str, bool] = {}

    @property
    def idle(self) -> int:
        """See `Engine`."""
        return self.workers - len(self._running)

    @property
    def busy(self) -> Sequence[str]:
        """See `Engine`."""
        return tuple(self._running)

    def warm(self, backend: str) -> None:
        """See `Engine`."""

    def close(self) -> None:
        """See `Engine`."""

    def stop(self, job: str) -> None:
        """See `Engine`."""
        self._running.pop(job, None)

    def submit(self, job: Job[Any, Any]) -> None:
        """Start the messages of a trial."""
        self._running[job.name] = self._train(job.name, job.payload)

    def answer(self, job: str, message: Any) -> None:
        """Record the answer to a rung."""
        self.pruned[job] = message == "prune"

    def events(self, timeout_s: float) -> Sequence[Event]:
        """Return the messages of each trial up to its next request or its end."""
        events: list[Event] = []
        for name, messages in list(self._running.items()):
            for event in messages:
                events.append(event)
                if isinstance(event, Requested):
                    break
                if isinstance(event, Finished):
                    del self._running[name]
        return events

    def _train(self, name: str, job: TrialJob) -> Iterator[Event]:
        began = time.time_ns() // 1_000_000
        goal = 0.2 + 0.6 * (job.number * 0.618 % 1)
        epochs: list[EpochDone] = []
        state: Any = "complete"
        for epoch in range(EPOCHS):
            loss = goal + 0.8 / (1 + epoch)
            values = dict(zip(METRICS, (0.9 * loss, 1 - loss / 3, loss, 1 - loss / 2), strict=True))
            epochs.append(EpochDone(epoch, EPOCHS, 0, began + 50 * epoch, values))
            yield Reported(name, epochs[-1])
            if epoch in job.rungs:
                yield Requested(name, RungReached(epoch, loss, can_pause=False))
                if self.pruned.get(name):
                    state = "pruned"
                    break
        last = epochs[-1]
        self._leave_files(Path(job.folder) / ARTIFACTS, job, epochs)
        value = last.metrics["val_loss"]
        result = TrialResult(state, value, last.epoch, last.metrics, tuple(epochs), 1000, 1.0)
        yield Finished(name, TrialOutcome("completed", result))

    def _leave_files(self, folder: Path, job: TrialJob, epochs: Sequence[EpochDone]) -> None:
        """Write a worker's files for MLflow; drawing the curve is timed as a separate part."""
        folder.mkdir(parents=True, exist_ok=True)
        lines = [",".join(map(str, (done.epoch, *done.metrics.values()))) for done in epochs]
        (folder / "history.csv").write_text("\n".join([",".join(("epoch", *METRICS)), *lines]) + "\n")
        (folder / "config.json").write_text(json.dumps(dict(job.values)))
        started = time.thread_time()
        metrics = [done.metrics for done in epochs]
        learning_curve.draw_learning_curve(folder / "learning_curve.png", metrics, "val_accuracy")
        self._spent.ms["learning curve"][job.number] += 1000 * (time.thread_time() - started)


def main() -> None:
    """Run the study and print what each part cost."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--sampler", default="random")
    parser.add_argument("--pruner", default="none")
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    text = FILE.format(sampler=options.sampler, pruner=options.pruner, trials=options.trials)
    study = check_document(parse_document(text, "own_cost.yaml"), Path())
    spent, commits = Spent(), itertools.count()
    memory: list[float] = []
    sa.event.listen(sa.Engine, "commit", lambda connection: next(commits))
    _time_parts(spent)
    with tempfile.TemporaryDirectory() as folder, Store.open(folder) as store:
        seconds = _run(study, Home(Path(folder), folder), store, InstantEngine(options.workers, spent), spent, memory)
    hundreds = [range(start, min(start + 100, options.trials)) for start in range(0, options.trials, 100)]
    first, last = hundreds[0], range(max(0, options.trials - 100), options.trials)
    print(f"{options.trials} trials, {options.sampler} sampler, {options.pruner} pruner, {options.workers} workers")
    print(f"{'CPU ms a trial, medians of':<28}{'the first 100':>16}{'the last 100':>16}")
    for part in (*PARTS, "sum"):
        columns = [statistics.median(_of(spent, part, number) for number in numbers) for numbers in (first, last)]
        print(f"{part:<28}{columns[0]:>16.1f}{columns[1]:>16.1f}")
    print(
        f"commits a trial: {next(commits) / options.trials:.1f}; by the clock: {seconds / options.trials:.3f} s a trial"
    )
    print(f"\n{'trials':>12}{'CPU ms a trial, median':>26}{'resident MB after':>20}")
    for numbers, resident_mb in zip(hundreds, memory, strict=False):
        cost = statistics.median(_of(spent, "sum", number) for number in numbers)
        print(f"{f'{numbers[0]} to {numbers[-1]}':>12}{cost:>26.1f}{resident_mb:>20.0f}")


PARTS = ("ask", "rungs", "tell", "rows for MLflow", "rest of the supervisor", "delivery to MLflow", "learning curve")


def _of(spent: Spent, part: str, number: int) -> float:
    return sum(spent.ms[each][number] for each in PARTS) if part == "sum" else spent.ms[part][number]


def _time_parts(spent: Spent) -> None:
    spent.time_calls(OptunaSearch, "ask", "ask")
    spent.time_calls(OptunaSearch, "should_prune", "rungs")
    spent.time_calls(OptunaSearch, "tell", "tell", lambda search, ended: [ended.number])
    spent.time_calls(Recorder, "record_trial_start", "rows for MLflow", lambda recorder, number, *rest: [number])
    spent.time_calls(Recorder, "flush_epochs", "rows for MLflow")
    spent.time_calls(Recorder, "record_trial_end", "rows for MLflow", lambda recorder, ended, *rest: [ended.number])
    spent.time_calls(MlflowProjection, "deliver", "delivery to MLflow", lambda projection, records: _trials_of(records))
    spent.time_calls(
        Outbox, "acknowledge", "delivery to MLflow", lambda outbox, rows: _trials_of([row.record for row in rows])
    )


def _trials_of(records: Sequence[Record]) -> Sequence[int]:
    """Return the numbers of the trials of records; -1 for the study itself."""
    numbers = {record.number for record in records if not isinstance(record, StudyOpened | StudyClosed)}
    return sorted(numbers) or [-1]


def _run(study: Study, home: Home, store: Store, engine: InstantEngine, spent: Spent, memory: list[float]) -> float:
    """Run the study until MLflow has everything, and return how long it took."""
    enqueue(study, SUMMARY, store)
    home.locate_data(study.name).mkdir(parents=True)
    (home.locate_data(study.name) / "split.csv").write_text("row,part\n")
    uri, root = urls.make_home_tracking_uri(home.folder), urls.get_artifact_folder(home.folder).as_uri()

    def delivery() -> OutboxDispatcher:
        sink = make_sink_factory(uri, namespace=store.identity, artifact_root=root)
        return OutboxDispatcher(store, sink, study=study.name)

    started = time.perf_counter()
    inside = ("ask", "rungs", "tell", "rows for MLflow", "learning curve")
    counted = thread = 0.0
    for event in Supervisor(study, SUMMARY, home, store, engine, delivery()).run():
        if isinstance(event, TrialEnded):
            spent.current = event.number + 1
            now, known = 1000 * time.thread_time(), sum(sum(spent.ms[part].values()) for part in inside)
            if event.number:
                spent.ms["rest of the supervisor"][event.number] = now - thread - (known - counted)
            counted, thread = known, now
            if event.number % 100 == 99:
                memory.append(_resident_mb())
    left = delivery()  # the study waits for MLflow for two minutes only
    left.start()
    waiting = left.stop(3600.0)
    assert not waiting.pending, waiting
    assert not waiting.set_aside, waiting
    return time.perf_counter() - started


def _resident_mb() -> float:
    return float(psutil.Process().memory_info().rss) / 1e6


if __name__ == "__main__":
    main()
