"""Overhead of kerastudy per trial, without training: suggesting, recording, storing results, delivery to MLflow.

A study runs through the real supervisor, search, recorder, outbox and MLflow (both databases SQLite files), with an
engine whose trials end at once with a curve of 20 epochs. Every figure is CPU time of the thread that does the work,
so that other work on the machine does not count; commits are counted too, since each waits for the disk.

    python benchmarks/own_cost.py [--trials N] [--sampler random|tpe] [--pruner none|median|hyperband] [--workers N]
        [--home FOLDER] [--without-pictures]

With `--home` the home stays in a folder, for `many_trials.py`; one that is there goes on to so many trials, and its new
trials alone are counted. The picture of a trial's curve is its worker's cost, and
no part of the sum.
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
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import psutil
import sqlalchemy as sa
from simulated_engine import SUMMARY, SimulatedClock, SimulatedEngine, load_study

from pipelines.operations.submit import enqueue
from pipelines.recording.recorder import Recorder
from pipelines.search.optuna_search import OptunaSearch
from pipelines.study.study import Study
from pipelines.supervisor.event_log import record_events
from pipelines.supervisor.events import SearchStarted, TrialEnded
from pipelines.supervisor.supervisor import Supervisor
from pipelines.workspace.home import Home
from tracking.mlflow import urls
from tracking.mlflow.projection import MlflowProjection
from tracking.mlflow.sink import make_sink_factory
from tracking.outbox.dispatcher import OutboxDispatcher
from tracking.outbox.outbox import Outbox
from tracking.outbox.records import Record, StudyClosed, StudyOpened
from tracking.reports import learning_curve
from tracking.store.database import Store


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

    def time_drawing(self, file: Path, metrics: Sequence[Mapping[str, float]], number: int) -> None:
        """Draw a trial's curve, as its worker does."""
        started = time.thread_time()
        learning_curve.draw_learning_curve(file, metrics, "val_accuracy")
        self.ms["learning curve"][number] += 1000 * (time.thread_time() - started)


def main() -> None:
    """Run the study and print what each part cost."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--sampler", default="random")
    parser.add_argument("--pruner", default="none")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--home", type=Path)
    parser.add_argument("--without-pictures", action="store_true")
    options = parser.parse_args()
    study = load_study(trials=options.trials, sampler=options.sampler, pruner=options.pruner)
    spent, commits = Spent(), itertools.count()
    memory: list[float] = []
    sa.event.listen(sa.Engine, "commit", lambda connection: next(commits))
    _time_parts(spent)
    draw = None if options.without_pictures else spent.time_drawing
    with _open_home(options.home) as home, Store.open(home.store) as store:
        seconds = _run(study, home, store, SimulatedEngine(options.workers, SimulatedClock(), draw=draw), spent, memory)
    begun = min(spent.ms["ask"])
    hundreds = [range(start, min(start + 100, options.trials)) for start in range(begun, options.trials, 100)]
    first, last = hundreds[0], range(max(0, options.trials - 100), options.trials)
    print(f"{options.trials} trials, {options.sampler} sampler, {options.pruner} pruner, {options.workers} workers")
    print(f"{'CPU ms a trial, medians of':<28}{'the first 100':>16}{'the last 100':>16}")
    for part in (*PARTS, "sum", "learning curve"):
        columns = [statistics.median(_of(spent, part, number) for number in numbers) for numbers in (first, last)]
        print(f"{part:<28}{columns[0]:>16.1f}{columns[1]:>16.1f}")
    new = options.trials - begun
    print(f"commits a trial: {next(commits) / new:.1f}; by the clock: {seconds / new:.3f} s a trial")
    print(f"\n{'trials':>12}{'CPU ms a trial, median':>26}{'resident MB after':>20}")
    for numbers, resident_mb in zip(hundreds, memory, strict=False):
        cost = statistics.median(_of(spent, "sum", number) for number in numbers)
        print(f"{f'{numbers[0]} to {numbers[-1]}':>12}{cost:>26.1f}{resident_mb:>20.0f}")


PARTS = ("ask", "rungs", "tell", "rows for MLflow", "rest of the supervisor", "delivery to MLflow")


@contextmanager
def _open_home(folder: Path | None) -> Iterator[Home]:
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        yield Home(folder, str(folder))
        return
    with tempfile.TemporaryDirectory() as temporary:
        yield Home(Path(temporary), temporary)


def _of(spent: Spent, part: str, number: int) -> float:
    return sum(spent.ms[each][number] for each in PARTS) if part == "sum" else spent.ms[part][number]


def _time_parts(spent: Spent) -> None:
    spent.time_calls(OptunaSearch, "ask", "ask")
    spent.time_calls(OptunaSearch, "decide_at_rung", "rungs")
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


def _run(study: Study, home: Home, store: Store, engine: SimulatedEngine, spent: Spent, memory: list[float]) -> float:
    """Run the study until MLflow has everything, and return how long it took."""
    enqueue(study, SUMMARY, store)
    home.locate_data(study.name).mkdir(parents=True, exist_ok=True)
    (home.locate_data(study.name) / "split.csv").write_text("row,part\n")
    (home.locate_data(study.name) / "summary.json").write_text(json.dumps(asdict(SUMMARY)))
    uri, root = urls.make_home_tracking_uri(home.folder), urls.get_artifact_folder(home.folder).as_uri()

    def may_deliver() -> bool:  # the supervisor that it refers to is made from the dispatcher
        return supervisor.is_in_charge()

    def delivery() -> OutboxDispatcher:
        sink = make_sink_factory(uri, namespace=store.identity, artifact_root=root)
        return OutboxDispatcher(store, sink, study=study.name, may_deliver=may_deliver)

    supervisor = Supervisor(study, SUMMARY, home, store, engine, delivery())
    started = time.perf_counter()
    inside = ("ask", "rungs", "tell", "rows for MLflow", "learning curve")
    counted = thread = 0.0
    for event in record_events(home, study.name, supervisor.run()):
        if isinstance(event, SearchStarted):
            spent.current = event.done
        if isinstance(event, TrialEnded):
            spent.current = event.number + 1
            now, known = 1000 * time.thread_time(), sum(sum(spent.ms[part].values()) for part in inside)
            if thread:
                spent.ms["rest of the supervisor"][event.number] = now - thread - (known - counted)
            counted, thread = known, now
            if event.number % 100 == 99:
                memory.append(_resident_mb())
    left = delivery()  # the study waits for MLflow for two minutes only
    left.may_deliver = None
    left.start()
    waiting = left.stop(3600.0)
    assert not waiting.pending, waiting
    assert not waiting.set_aside, waiting
    return time.perf_counter() - started


def _resident_mb() -> float:
    return float(psutil.Process().memory_info().rss) / 1e6


if __name__ == "__main__":
    main()
