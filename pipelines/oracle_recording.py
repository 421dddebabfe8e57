"""What MLflow is told of a study that KerasTuner's own tuner runs."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from pipelines.home import Home
from pipelines.search import Scored, best_of, count_by_state
from pipelines.study_file import Objective
from pipelines.study_spec import SearchSpec
from tracking import links
from tracking.outbox import Outbox, OutboxDelivery
from tracking.records import (
    EpochsRecorded,
    ParametersDrawn,
    Record,
    StudyClosed,
    StudyOpened,
    TrialFinished,
    TrialStarted,
    Value,
)
from tracking.store import Store, now_ms

_FLUSH_S = 120.0


class OracleRecorder:
    """Writes the rows of one study, and delivers them while it is open."""

    def __init__(self, study: str, objective: Objective, spec: SearchSpec, home: Home, store: Store) -> None:
        self._study = study
        self._objective = objective
        self._spec = spec
        self._home = home
        self._store = store
        self._outbox = Outbox(store)
        self._delivery: OutboxDelivery | None = None

    def opened(self, parameters: Sequence[str]) -> None:
        """Record that the study goes on, unless that is recorded, and begin to deliver."""
        if self._delivery is not None:
            return
        opened = StudyOpened(
            study=self._study,
            experiment=self._study,
            metric=self._objective.metric,
            direction=self._objective.direction,
            parameters=tuple(dict.fromkeys(parameters)),
            started_ms=now_ms(),
            artifacts="",
            dataset_name=self._study,
            dataset_source="",
            dataset_digest="",  # the data is the tuner's own
            dataset_rows={},
            tags={"model": "keras_tuner", "sampler": self._spec.sampler, "pruner": self._spec.pruner},
        )
        self._outbox.add([opened])
        self._delivery = OutboxDelivery(
            self._store,
            links.resolve(self._home.folder, os.environ),
            artifact_root=links.artifact_root(self._home.folder, os.environ),
            study=self._study,
        )
        self._delivery.start()

    def trial_started(self, number: int, values: Mapping[str, Value]) -> None:
        """Record that a trial begins, with the values that are known."""
        self._outbox.add([TrialStarted(self._study, number, dict(values), now_ms())])

    def trial_ended(
        self, trial: Scored, epochs: Sequence[tuple[int, int, Mapping[str, float]]], trials: Sequence[Scored]
    ) -> None:
        """Record a trial's end; `trials` are all so far."""
        if trial.state == "running":
            raise ValueError(f"trial {trial.number} has not ended")
        best = best_of(trials, self._objective)
        rows: list[Record] = [ParametersDrawn(self._study, trial.number, dict(trial.params))]
        if epochs:
            rows.append(EpochsRecorded(self._study, trial.number, tuple(epochs)))
        metrics = {f"best_{name}": value for name, value in trial.metrics.items()}
        if trial.best_epoch is not None:
            metrics["best_epoch"] = float(trial.best_epoch)
        rows.append(
            TrialFinished(
                study=self._study,
                number=trial.number,
                state=trial.state,
                value=trial.value,
                metrics=metrics,
                reason=trial.reason,
                finished_ms=now_ms(),
                folder="",
                best_so_far=best.value if best else None,
            )
        )
        self._outbox.add(rows)

    def closed(self, trials: Sequence[Scored]) -> None:
        """Record the study's end, and wait until MLflow has everything, for a while."""
        if self._delivery is None:
            return
        best = best_of(trials, self._objective)
        closed = StudyClosed(
            study=self._study,
            state="finished" if best else "failed",
            reason=f"{len(trials)} trials",
            finished_ms=now_ms(),
            winner=best.number if best else None,
            best_value=best.value if best else None,
            trials=count_by_state(trials),
            artifacts="",
        )
        self._outbox.add([closed])
        self.stop()

    def stop(self) -> None:
        """Deliver what waits, for a while, and end delivery."""
        if self._delivery is not None:
            self._delivery.stop(_FLUSH_S)
            self._delivery = None
