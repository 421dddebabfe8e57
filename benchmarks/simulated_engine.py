"""Engine whose trials train nothing, on a simulated clock, and the study that the measurements of scale run.

The clock advances by the CPU time of the thread that supervises, and by waiting: where nothing is due, it jumps to the
next message of a worker. So a thousand workers are busy exactly as far as one real supervisor can keep up with them.
What a worker does, as writing a trial's files, takes none of the supervisor's time.
"""

from __future__ import annotations

import heapq
import itertools
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pipelines.data.prepared import DataSummary, Features, RawColumn, Task
from pipelines.engines.base import Backend, Event, Failed, Finished, Job, Layout, Reported, Requested
from pipelines.study.load import check_document
from pipelines.study.study import Study
from pipelines.training.messages import EpochDone, RungReached, TrialJob, TrialOutcome, TrialResult
from pipelines.training.trial_folder import ARTIFACTS, RESULT_FILE, locate_epochs_file
from search_spaces.yaml_reader import parse_document

METRICS = ("loss", "accuracy", "val_loss", "val_accuracy")
FILE = """
study: {name}
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
  epochs: {epochs}
objective: {{metric: val_loss, direction: minimize}}
search: {{sampler: {sampler}, pruner: {pruner}, seed: 1}}
budget: {{trials: {trials}}}
resources: {{fleet: off}}
selection: {{finalists: 0, baselines: false}}
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


def load_study(
    *, trials: int, name: str = "scale", sampler: str = "random", pruner: str = "none", epochs: int = 20
) -> Study:
    """Return a checked study of ten parameters, one of them conditional; the data need not be there."""
    text = FILE.format(name=name, trials=trials, sampler=sampler, pruner=pruner, epochs=epochs)
    return check_document(parse_document(text, f"{name}.yaml"), Path())


class SimulatedClock:
    """Seconds of simulated time: those that the thread computes, and those that it skips while it waits.

    Args:
        read: real seconds of the supervisor's work; CPU time of the thread by default.
    """

    def __init__(self, read: Callable[[], float] = time.thread_time) -> None:
        self._read = read
        self._began = read()
        self._skipped = -self._began
        self._stopped_s = 0.0

    def __call__(self) -> float:
        """Return the simulated time."""
        return self._read() + self._skipped

    @property
    def worked_s(self) -> float:
        """Real seconds of the supervisor's work so far."""
        return self._read() - self._began - self._stopped_s

    def skip(self, seconds: float) -> None:
        """Let time pass without work."""
        self._skipped += seconds

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Stop the clock, for what takes none of the supervisor's time."""
        before = self._read()
        try:
            yield
        finally:
            took = self._read() - before
            self._skipped -= took
            self._stopped_s += took


@dataclass
class _Training:
    """A job in a simulated worker."""

    steps: Iterator[tuple[float, Event]]
    started: float
    answer: Any = None


@dataclass
class Workers:
    """What the workers did, by the simulated clock.

    Attributes:
        trainings: start and end of each training.
        late_s: by how much the supervisor was late for each message.
    """

    trainings: list[tuple[float, float]] = field(default_factory=list)
    late_s: list[float] = field(default_factory=list)

    def compute_busy_s(self, start: float, end: float) -> float:
        """Return the seconds of training between two times, over all workers."""
        return sum(max(0.0, min(end, ended) - max(start, began)) for began, ended in self.trainings)


class SimulatedEngine:
    """See `base.Engine`.

    Args:
        workers: jobs at once.
        clock: simulated time.
        seconds: seconds that a trial trains, by its number; none by default.
        epochs: epochs of a trial.
        draw: draws the picture of a trial's curve into a file; none by default.
    """

    def __init__(
        self,
        workers: int,
        clock: SimulatedClock,
        *,
        seconds: Callable[[int], float] = lambda number: 0.0,
        epochs: int = 20,
        draw: Callable[[Path, Sequence[Mapping[str, float]], int], None] | None = None,
    ) -> None:
        self.workers = workers
        self.worker_memory_bytes = 10**9
        self.layout = Layout()
        self.clock = clock
        self.spent = Workers()
        self._seconds = seconds
        self._epochs = epochs
        self._draw = draw
        self._running: dict[str, _Training] = {}
        self._due: list[tuple[float, int, str, Event]] = []
        self._order = itertools.count()

    @property
    def idle(self) -> int:
        """See `Engine`."""
        return self.workers - len(self._running)

    @property
    def busy(self) -> Sequence[str]:
        """See `Engine`."""
        return tuple(self._running)

    def warm(self, backend: Backend) -> None:
        """See `Engine`."""

    def restart(self, note: Callable[[str], None], while_waiting: Callable[[], None]) -> None:
        """See `Engine`."""

    def close(self) -> None:
        """See `Engine`."""

    def stop(self, job: str) -> None:
        """End a job; its messages are dropped."""
        if self._running.pop(job, None) is not None:
            self._push(self.clock(), Failed(job, "stopped", "stopped on request"))

    def submit(self, job: Job[Any, Any]) -> None:
        """Start the training of a trial; any other job fails, since no files are there to work on."""
        with self.clock.stopped():
            now = self.clock()
            if isinstance(job.payload, TrialJob):
                self._running[job.name] = training = _Training(iter(()), now)
                training.steps = self._train(job.name, job.payload, training)
                self._advance(job.name, now)
            else:
                self._running[job.name] = _Training(iter(()), now)
                self._push(now, Failed(job.name, "error", "nothing is trained here"))

    def answer(self, job: str, message: Any) -> None:
        """Let a trial go on from its rung."""
        if (training := self._running.get(job)) is not None:
            training.answer = message
            with self.clock.stopped():
                self._advance(job, self.clock())

    def events(self, timeout_s: float) -> Sequence[Event]:
        """Return the messages that are due; jump to the first one where none is."""
        with self.clock.stopped():
            now = self.clock()
            if not self._due or self._due[0][0] > now:
                until = min(now + timeout_s, self._due[0][0] if self._due else now + timeout_s)
                self.clock.skip(max(0.0, until - now))
                now = max(now, until)
            found: list[Event] = []
            while self._due and self._due[0][0] <= now:
                due, _, name, event = heapq.heappop(self._due)
                if isinstance(event, Failed) or name in self._running:
                    self.spent.late_s.append(now - due)
                    found.append(event)
                    self._follow(name, event, due)
        return found

    def _follow(self, name: str, event: Event, due: float) -> None:
        """End the job of a last message, or schedule the next one."""
        if isinstance(event, Finished | Failed):
            ended = self._running.pop(name, None)
            if ended is not None and isinstance(event, Finished):
                self.spent.trainings.append((ended.started, due))
        elif isinstance(event, Reported):
            self._advance(name, due)

    def _advance(self, name: str, at: float) -> None:
        step = next(self._running[name].steps, None)
        if step is not None:
            self._push(at + step[0], step[1])

    def _push(self, due: float, event: Event) -> None:
        heapq.heappush(self._due, (due, next(self._order), event.job, event))

    def _train(self, name: str, job: TrialJob, training: _Training) -> Iterator[tuple[float, Event]]:
        began = time.time_ns() // 1_000_000
        epoch_s = self._seconds(job.number) / self._epochs
        goal = 0.2 + 0.6 * (job.number * 0.618 % 1)
        epochs: list[EpochDone] = []
        state: Any = "complete"
        for epoch in range(self._epochs):
            loss = goal + 0.8 / (1 + epoch)
            values = dict(zip(METRICS, (0.9 * loss, 1 - loss / 3, loss, 1 - loss / 2), strict=True))
            epochs.append(EpochDone(epoch, self._epochs, 0, began + int(1000 * epoch_s * (epoch + 1)), values))
            yield epoch_s, Reported(name, epochs[-1])
            if epoch in job.rungs:
                training.answer = None
                yield 0.0, Requested(name, RungReached(epoch, loss, can_pause=False))
                if training.answer == "prune":
                    state = "pruned"
                    break
        last = epochs[-1]
        result = TrialResult(
            state, last.metrics["val_loss"], last.epoch, last.metrics, tuple(epochs), 1000, epoch_s * len(epochs)
        )
        self._leave_files(job, result)
        yield 0.0, Finished(name, TrialOutcome("completed", result))

    def _leave_files(self, job: TrialJob, result: TrialResult) -> None:
        """Write a worker's files, but for the model."""
        folder = Path(job.folder)
        (folder / ARTIFACTS).mkdir(parents=True, exist_ok=True)
        lines = [",".join(map(str, (done.epoch, *done.metrics.values()))) for done in result.epochs]
        table = "\n".join([",".join(("epoch", *METRICS)), *lines]) + "\n"
        (folder / ARTIFACTS / "history.csv").write_text(table, encoding="utf-8")
        (folder / ARTIFACTS / "config.json").write_text(json.dumps(dict(job.values)), encoding="utf-8")
        reported = "".join(json.dumps(asdict(done)) + "\n" for done in result.epochs)
        locate_epochs_file(folder, 0).write_text(reported, encoding="utf-8")
        picture = folder / ARTIFACTS / "learning_curve.png"
        if self._draw is not None:
            self._draw(picture, [done.metrics for done in result.epochs], job.number)
        else:
            picture.write_bytes(b"\x89PNG" + bytes(18_000))  # as large as a real one
        (folder / RESULT_FILE).write_text(json.dumps(asdict(result)), encoding="utf-8")
