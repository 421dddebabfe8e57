"""One search on simulated trainings, with any number of workers, in virtual time.

A worker trains a stretch of a trial's epochs: up to its next rung, or its last epoch. Every epoch takes equally long,
or as many seconds as the surrogate predicts: some networks then take fifteen times as long as others. No real time
passes.
"""

from __future__ import annotations

import heapq
import itertools
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from surrogate import EPOCHS, Curve, Surrogate


@dataclass(frozen=True)
class Stretch:
    """Epochs of one trial that a worker trains without a decision.

    Attributes:
        trial: any key; the same for every stretch of one trial that goes on from its checkpoint.
        first: epochs that the trial has trained already.
        last: epochs that it has trained afterwards.
        token: anything that the searcher recognises the stretch by.
    """

    trial: object
    point: Mapping[str, float]
    first: int
    last: int
    token: object = None


class Searcher(Protocol):
    """A search of one product, through its public interface.

    Attributes:
        shift: 1 if the untrained network, the surrogate's epoch 1, counts as no epoch. A trial has then one less.
    """

    shift: int

    def start(self) -> Stretch | None:
        """Return work for a free worker; None where it has to wait for others."""

    def observe(self, work: Stretch, epochs: int, score: float) -> None:
        """Record the score of a trial in training after so many epochs; nothing for a search that learns from ends."""

    def proceed(self, done: Stretch, scores: Sequence[float]) -> Stretch | None:
        """Record a trained stretch; return what the same worker trains next, None where it is free.

        Args:
            done: the stretch.
            scores: the trial's score after each epoch so far.
        """


@dataclass
class Course:
    """Course of a simulated search.

    Attributes:
        best: the best score seen once so many epochs were trained, the first at 0.
        scores: each trial's best score, in the order in which the trials began.
        ask_s: CPU seconds of each call for work that began a trial, in that order.
        started_at: epochs that were trained before each trial began, ascending.
        ended_at: virtual second at which each epoch ended, in the order of `best`.
    """

    best: np.ndarray
    scores: list[float]
    ask_s: list[float]
    started_at: list[int] = field(default_factory=list)
    ended_at: np.ndarray = field(default_factory=lambda: np.zeros(0))

    def find_best_until(self, seconds: float) -> float:
        """Return the best score seen until a virtual second; minus infinity where there is none."""
        seen = int(np.searchsorted(self.ended_at, seconds, side="right"))
        return float(self.best[seen - 1]) if seen else -math.inf

    def count_trials(self, epochs: int) -> int:
        """Return how many trials had begun once so many epochs were trained."""
        return sum(at < epochs for at in self.started_at)


class Simulation:
    """A search that trains on a task of the surrogate.

    Args:
        workers: trials in training at once.
        clock: `epochs` or `seconds`, see above.
        most_trials: the search ends when so many have begun and ended.
        most_epochs: the search ends when so many epochs were trained, whatever is running.
        most_seconds: the search ends at the first virtual second after so many at which a worker is free.
    """

    def __init__(
        self,
        searcher: Searcher,
        surrogate: Surrogate,
        task: int,
        *,
        workers: int = 1,
        clock: str = "epochs",
        most_trials: float = math.inf,
        most_epochs: float = math.inf,
        most_seconds: float = math.inf,
    ) -> None:
        self._searcher, self._surrogate, self._task = searcher, surrogate, task
        self._workers, self._most_trials, self._most_epochs = workers, most_trials, most_epochs
        self._clock, self._most_seconds = clock, most_seconds
        self._curves: dict[object, Curve] = {}
        self._order: list[object] = []
        self._best: dict[object, float] = {}
        self._ask_s: list[float] = []
        self._events: list[tuple[float, float, object]] = []  # virtual second, score, trial: one for each epoch
        self._working: list[tuple[float, int, Stretch]] = []
        self._unseen: list[tuple[float, int, Stretch, int, float]] = []  # virtual second, order, stretch, epoch, score
        self._numbers = itertools.count()
        self._begun_epochs = 0

    def run(self) -> Course:
        """Return the course of the search."""
        now = 0.0
        self._fill_workers(now)
        while self._working:
            now, _, done = heapq.heappop(self._working)
            if now > self._most_seconds:
                break
            self._observe(now)
            following = self._searcher.proceed(done, self._list_scores(done))
            if following is not None and self._begun_epochs < self._most_epochs:
                self._begin(following, now)
            self._fill_workers(now)
        return self._summarize()

    def _fill_workers(self, now: float) -> None:
        while len(self._working) < self._workers and self._begun_epochs < self._most_epochs:
            if len(self._order) >= self._most_trials:
                return
            began = time.process_time()
            work = self._searcher.start()
            took = time.process_time() - began
            if work is None:
                if not self._working:
                    raise RuntimeError("the search gives no work although nothing is running")
                return
            if work.trial not in self._curves:
                self._ask_s.append(took)
            self._begin(work, now)

    def _observe(self, now: float) -> None:
        """Report the epochs that all workers have trained until now."""
        while self._unseen and self._unseen[0][0] <= now:
            _, _, work, epochs, score = heapq.heappop(self._unseen)
            self._searcher.observe(work, epochs, score)

    def _begin(self, work: Stretch, now: float) -> None:
        if work.trial not in self._curves:
            self._curves[work.trial] = self._surrogate.predict_curve(self._task, work.point)
            self._order.append(work.trial)
            self._best[work.trial] = -math.inf
        curve, shift = self._curves[work.trial], self._searcher.shift
        seconds = np.concatenate([[0.0], curve.seconds])[shift:]
        if self._clock == "epochs":
            seconds = np.arange(float(EPOCHS + 1))
        for epoch in range(work.first, work.last):
            score = float(curve.scores[epoch + shift])
            self._best[work.trial] = max(self._best[work.trial], score)
            ended = now + seconds[epoch + 1] - seconds[work.first]
            self._events.append((ended, score, work.trial))
            heapq.heappush(self._unseen, (ended, next(self._numbers), work, epoch + 1, score))
        self._begun_epochs += work.last - work.first
        end = now + seconds[work.last] - seconds[work.first]
        heapq.heappush(self._working, (end, next(self._numbers), work))

    def _list_scores(self, done: Stretch) -> list[float]:
        shift = self._searcher.shift
        return self._curves[done.trial].scores[shift : shift + done.last].tolist()

    def _summarize(self) -> Course:
        # Sorting is stable, and a trial's epochs were added in their order.
        events = sorted(self._events, key=lambda event: event[0])
        first: dict[object, int] = {}
        for place, (_, _, trial) in enumerate(events):
            first.setdefault(trial, place)
        return Course(
            np.maximum.accumulate([score for _, score, _ in events]),
            [self._best[trial] for trial in self._order],
            self._ask_s,
            sorted(first.values()),
            np.array([ended for ended, _, _ in events]),
        )
