"""Bench of supervisor tests: a submitted study with scripted trials, its records and files; without TensorFlow."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import cached_property
from typing import Any

import optuna
from fake_engine import FakeEngine, Script, training
from small_studies import study_of

from pipelines.data.prepared import DataSummary, Features, RawColumn, Task
from pipelines.operations.submit import enqueue
from pipelines.search.trial_summaries import TrialSummary, summarize_trials
from pipelines.study.study import Study
from pipelines.supervisor.events import StudyEvent
from pipelines.supervisor.supervisor import Supervisor
from pipelines.workspace.home import Home
from tracking.outbox.outbox import Backlog, Outbox
from tracking.store.database import Store
from tracking.store.study_queue import StudyQueue

SUMMARY = DataSummary(
    source="data.csv",
    task=Task("regression", ("y",)),
    features=Features(dense=1),
    raw=(RawColumn("x", "numeric", (), "float32", "x"),),
    rows={"train": 8, "validation": 4, "test": 0},
    folds=1,
    digest="ab" * 32,
    encodings={"x": "number"},
)
FILE = """
study: it
data: {{source: data.csv, target: y}}
model: mlp
space:
  learning_rate: {{type: float, low: 1e-4, high: 1.0, log: true}}
  epochs: 3
objective: {{metric: val_loss, direction: minimize}}
search: {{sampler: {sampler}, pruner: {pruner}, seed: 3, startup_trials: 2}}
budget: {{trials: {trials}{budget}}}
resources: {{workers: 1, fleet: {fleet}}}
tracking: {{keep_models: {keep}}}
selection: {{{selection}}}
"""


class FakeDelivery:
    """Delivery that delivers nothing, so that every record stays in the outbox."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self.last_error = ""
        self.is_away = False
        self.calls: list[str] = []

    def start(self, within_s: float = 0.0) -> None:
        self.calls.append(f"start within {within_s:g} s")

    def hurry(self) -> None:
        """Do nothing: nothing takes time here."""

    def stop(self, flush_s: float) -> Backlog:
        self.calls.append("stop")
        return Backlog(self._outbox.count_pending("it"), 0, "")


class Desk:
    """A submitted study with its records, trials and files."""

    def __init__(self, store: Store, home: Home) -> None:
        self.store = store
        self.home = home
        self.outbox = Outbox(store)
        self.queue = StudyQueue(store)

    def study(
        self,
        trials: int = 4,
        pruner: str = "none",
        sampler: str = "random",
        budget: str = "",
        keep: int = 3,
        fleet: str = "off",
        selection: str = "",
        epochs: int = 3,
    ) -> Study:
        words = {"trials": trials, "pruner": pruner, "sampler": sampler, "budget": budget, "keep": keep}
        text = FILE.format(**words, fleet=fleet, selection=selection)
        return study_of(text.replace("epochs: 3", f"epochs: {epochs}"))

    def supervisor(
        self,
        engine: FakeEngine,
        *,
        summary: DataSummary = SUMMARY,
        study: Study | None = None,
        clock: Callable[[], float] = time.monotonic,
        **choices: Any,
    ) -> Supervisor:
        study = study or self.study(**choices)
        enqueue(study, summary, self.store)
        self.home.locate_data("it").mkdir(parents=True, exist_ok=True)
        (self.home.locate_data("it") / "split.csv").write_text("row,part\n")
        (self.home.locate_data("it") / "summary.json").write_text(json.dumps(asdict(summary)))
        self.delivery = FakeDelivery(self.outbox)
        return Supervisor(study, summary, self.home, self.store, engine, self.delivery, clock=clock)

    def run(self, engine: FakeEngine, **choices: Any) -> list[StudyEvent]:
        """Run the study to its end, and return its events."""
        return list(self.supervisor(engine, **choices).run())

    def trials(self) -> tuple[TrialSummary, ...]:
        return summarize_trials(optuna.load_study(study_name="it", storage=self._storage))

    def curves(self) -> list[dict[int, float]]:
        """Return the best score of each trial by the number of epochs, as Optuna stores it."""
        return [trial.intermediate_values for trial in optuna.load_study(study_name="it", storage=self._storage).trials]

    @cached_property
    def _storage(self) -> optuna.storages.RDBStorage:
        return self.store.open_optuna_storage()

    def records(self, kind: type = object) -> list[Any]:
        rows = [row.record for row in self.outbox.read_next_rows("it", 100_000)]
        return [record for record in rows if isinstance(record, kind)]

    def models(self) -> list[int]:
        return sorted(int(file.parent.name) for file in self.home.locate_study("it").glob("trials/*/model.keras"))


def scores(*by_number: float | Exception) -> Script:
    """Script trials by their numbers: each with a score or an error; all further trials repeat the last one."""

    def script(job):
        wanted = by_number[min(job.number, len(by_number) - 1)]
        if isinstance(wanted, Exception):
            raise wanted
        later = [wanted + 1] * (int(job.values["epochs"]) - 2)
        return (yield from training(job, [wanted + 2, wanted, *later]))

    return script
