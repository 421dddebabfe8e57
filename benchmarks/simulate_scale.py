"""One supervisor with 10 to 1,000 workers, on a simulated clock: how busy it keeps them, and where it saturates.

Supervisor, search, recorder, event files, outbox and MLflow (both databases SQLite files) are the real ones; workers
train nothing for as long as their trials would take. The real CPU time of the supervisor's thread advances the clock,
so a supervisor that falls behind leaves workers idle. Delivery to MLflow has a clock of its own, as a thread with a
core of its own would: its real CPU time decides how far it is behind.

    python benchmarks/simulate_scale.py [--workers 10,100,1000] [--seconds 30] [--rounds 4] [--epochs 20]
        [--sampler random|tpe] [--pruner none|median|hyperband] [--clock cpu|wall] [--without-mlflow] [--csv FILE]

With `--clock wall` the wait for the disk counts too, and so does whatever else the machine does.
"""

from __future__ import annotations

import argparse
import csv
import os
import random
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import psutil
from simulated_engine import SUMMARY, SimulatedClock, SimulatedEngine, load_study

from pipelines.operations.submit import enqueue
from pipelines.recording.recorder import Recorder
from pipelines.search.optuna_search import OptunaSearch
from pipelines.supervisor.event_log import record_events
from pipelines.supervisor.events import TrialEnded
from pipelines.supervisor.supervisor import Supervisor
from pipelines.workspace.home import Home
from tracking.mlflow import urls
from tracking.mlflow.sink import make_sink_factory
from tracking.outbox.dispatcher import group_rows
from tracking.outbox.outbox import Backlog, Outbox
from tracking.outbox.sink import RecordSink
from tracking.store.database import Store

_WINDOW_ROWS = 2000
_CALLS = ((OptunaSearch, "ask"), (OptunaSearch, "tell"), (OptunaSearch, "decide_at_rung"))
_RECORDS = ((Recorder, "record_trial_start"), (Recorder, "record_trial_end"), (Recorder, "flush_epochs"))


@dataclass
class Result:
    """Figures of one simulated study.

    Attributes:
        busy: share of the workers' time that they trained, while there were trials to start.
        supervisor: share of the study's time that the supervisor computed.
        late_ms: median and 99th percentile of how late a worker's message was handled.
        mlflow: share of the study's time that delivery to MLflow computed; above 1 it falls behind.
        backlog: rows that waited for MLflow when the last trial ended.
        drained_s: seconds until MLflow had all of them.
    """

    workers: int
    trials: int
    study_s: float
    busy: float
    supervisor: float
    ask_ms: float
    tell_ms: float
    rung_ms: float
    record_ms: float
    other_ms: float
    late_ms: float
    late_p99_ms: float
    mlflow_ms: float
    mlflow: float
    backlog: int
    drained_s: float
    memory_mb: float


@dataclass
class Delivery:
    """Delivery to MLflow in a simulated process, on another core; stands in for `DeliveryHandle`.

    Attributes:
        computed_s: CPU time that it took.
        at: simulated time up to which it has worked.
    """

    outbox: Outbox
    connect: Callable[[], RecordSink] | None
    study: str
    clock: SimulatedClock
    may_deliver: Callable[[], bool] | None = None
    computed_s: float = 0.0
    at: float = 0.0
    last_error: str = ""
    is_away: bool = False
    _sink: RecordSink | None = field(default=None, repr=False)

    def start(self, within_s: float = 0.0) -> None:
        """Connect; takes no simulated time."""
        if self._sink is not None:
            return
        with self.clock.stopped():
            self._sink = self.connect() if self.connect else None
        self.at = self.clock()

    def hurry(self) -> None:
        """See `tracking.outbox.delivery.Delivery`."""

    def stop(self, flush_s: float) -> Backlog:
        """Leave what waits."""
        return self.outbox.read_backlog(self.study)

    def follow(self, until: float) -> None:
        """Deliver until a simulated time, at intervals as `OutboxDispatcher` does."""
        while self._sink is not None and self.at < until:
            rows = self.outbox.read_next_rows(self.study, _WINDOW_ROWS)
            if self.may_deliver is not None and not self.may_deliver():
                return
            began = time.thread_time()
            for group in group_rows(rows, self._sink.trials_together):
                self._sink.deliver([row.record for row in group])
                self.outbox.acknowledge(group)
            took = time.thread_time() - began
            self.computed_s += took
            self.at += took if len(rows) == _WINDOW_ROWS else max(took, 0.5)

    def drain(self) -> float:
        """Deliver all that waits, and return the seconds that it takes."""
        began = self.computed_s
        while self._sink is not None and self.outbox.count_pending(self.study):
            self.follow(self.at + 1e-9)
        return self.computed_s - began


class Parts:
    """CPU seconds of the supervisor's calls by name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)

    @contextmanager
    def measured(self) -> Iterator[None]:
        """Measure the calls inside this block."""
        real = [(owner, name, getattr(owner, name)) for owner, name in (*_CALLS, *_RECORDS)]
        for owner, name, method in real:
            setattr(owner, name, self._measure(method, "record" if owner is Recorder else name))
        try:
            yield
        finally:
            for owner, name, method in real:
                setattr(owner, name, method)

    def _measure(self, method: Callable[..., Any], part: str) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            began = time.thread_time()
            try:
                return method(*args, **kwargs)
            finally:
                self.seconds[part] += time.thread_time() - began

        return call


def simulate(
    workers: int,
    trials: int,
    *,
    seconds: float = 30.0,
    epochs: int = 20,
    sampler: str = "random",
    pruner: str = "none",
    delivers: bool = True,
    read: Callable[[], float] = time.thread_time,
) -> Result:
    """Run a study of so many trials, each of about so many seconds, and return its figures."""
    study = load_study(trials=trials, sampler=sampler, pruner=pruner, epochs=epochs)
    # Half to one and a half: were all trials as long, they would end at the same moment for ever.
    drawn = random.Random(1)
    lengths = [seconds * drawn.uniform(0.5, 1.5) for _ in range(trials)]
    clock, parts = SimulatedClock(read), Parts()
    with tempfile.TemporaryDirectory() as folder, Store.open(folder) as store, parts.measured():
        home = Home(Path(folder), folder)
        enqueue(study, SUMMARY, store)
        home.locate_data(study.name).mkdir(parents=True)
        (home.locate_data(study.name) / "split.csv").write_text("row,part\n", encoding="utf-8")
        engine = SimulatedEngine(workers, clock, seconds=lambda number: lengths[number], epochs=epochs)
        delivery = Delivery(Outbox(store), _make_connection(home, store) if delivers else None, study.name, clock)
        supervisor = Supervisor(study, SUMMARY, home, store, engine, delivery, clock=clock)
        delivery.may_deliver = supervisor.is_in_charge
        return _follow(record_events(home, study.name, supervisor.run(), clock), engine, delivery, parts, trials)


def _follow(events: Iterator[Any], engine: SimulatedEngine, delivery: Delivery, parts: Parts, trials: int) -> Result:
    clock, began, ended = engine.clock, engine.clock(), 0
    worked = last = full_until = 0.0
    for event in events:
        if not isinstance(event, TrialEnded):
            continue
        ended += 1
        with clock.stopped():
            delivery.follow(clock())
        if ended < trials - engine.workers:  # later there are too few trials for all workers
            full_until = clock()
        if ended == trials:
            last, worked = clock(), clock.worked_s
            break
    spent, study_s = engine.spent, last - began
    waiting = delivery.outbox.count_pending(delivery.study)
    behind_s = max(0.0, delivery.at - last)
    mlflow_s, drained_s = delivery.computed_s, behind_s + delivery.drain()
    ms = {name: 1000 * took / trials for name, took in parts.seconds.items()}
    late = [1000 * each for each in spent.late_s]
    return Result(
        workers=engine.workers,
        trials=trials,
        study_s=study_s,
        busy=spent.compute_busy_s(began, full_until) / (engine.workers * (full_until - began)),
        supervisor=worked / study_s,
        ask_ms=ms["ask"],
        tell_ms=ms["tell"],
        rung_ms=ms.get("decide_at_rung", 0.0),
        record_ms=ms["record"],
        other_ms=1000 * worked / trials - sum(ms.values()),
        late_ms=statistics.median(late),
        late_p99_ms=statistics.quantiles(late, n=100)[-1],
        mlflow_ms=1000 * delivery.computed_s / trials,
        mlflow=mlflow_s / study_s,
        backlog=waiting,
        drained_s=drained_s,
        memory_mb=psutil.Process().memory_info().rss / 1e6,
    )


def _make_connection(home: Home, store: Store) -> Callable[[], RecordSink]:
    uri, root = urls.make_home_tracking_uri(home.folder), urls.get_artifact_folder(home.folder).as_uri()
    factory = make_sink_factory(uri, namespace=store.identity, artifact_root=root)
    return lambda: factory(lambda: None)


def main() -> None:
    """Simulate each number of workers and print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--workers", default="10,100,1000")
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--rounds", type=int, default=4, help="trials a worker; at least 200 trials in all")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--sampler", default="random")
    parser.add_argument("--pruner", default="none")
    parser.add_argument("--clock", choices=("cpu", "wall"), default="cpu")
    parser.add_argument("--without-mlflow", action="store_true")
    parser.add_argument("--csv", type=Path)
    options = parser.parse_args()
    results = []
    for workers in map(int, options.workers.split(",")):
        result = simulate(
            workers,
            max(200, options.rounds * workers),
            seconds=options.seconds,
            epochs=options.epochs,
            sampler=options.sampler,
            pruner=options.pruner,
            delivers=not options.without_mlflow,
            read=time.thread_time if options.clock == "cpu" else time.perf_counter,
        )
        results.append(result)
        print(", ".join(f"{name} {value:.3g}" for name, value in asdict(result).items()), flush=True)
    if options.csv:
        with options.csv.open("w", newline="", encoding="utf-8") as file:
            table = csv.DictWriter(file, list(asdict(results[0])))
            table.writeheader()
            table.writerows(asdict(result) for result in results)


if __name__ == "__main__":
    main()
