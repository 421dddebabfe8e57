"""Retrainings of finalists, one row each: the scores by which the winner is chosen."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

import sqlalchemy as sa

from tracking.store.database import Store
from tracking.store.tables import retrainings

_COLUMNS: Final = ("study", "number", "name", "seed", "state", "value")


@dataclass(frozen=True)
class Retraining:
    """One further training of a trial.

    Attributes:
        number: number of the trial.
        name: unique within the trial: `seed-1`, `folds`, `refit`, `ensemble`.
        seed: seed of the training.
        value: the objective, with folds the mean over them; None where it failed.
        scores: the objective of each training: one, or one a fold.
        metrics: all metrics at the best epoch; for a refit, at the last.
        epochs: number of the kept epoch, counted from 1.
        parts: numbers of the trials in an ensemble; empty for anything else.
        reason: reason of a failure.
    """

    study: str
    number: int
    name: str
    seed: int
    state: Literal["complete", "failed"]
    value: float | None
    scores: tuple[float, ...]
    metrics: Mapping[str, float]
    epochs: int | None
    seconds: float
    started_ms: int
    ended_ms: int
    trainer: str = ""
    reason: str = ""
    parts: tuple[int, ...] = ()


class Retrainings:
    """Table of the retrainings of all studies."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def put(self, retraining: Retraining, connection: sa.Connection | None = None) -> None:
        """Store a retraining; an earlier one of that trial and name is replaced."""
        values = asdict(retraining)
        row = {name: values.pop(name) for name in _COLUMNS}
        with self._store.write(connection) as writing:
            # A supervisor that was killed after the training may record the same one again.
            writing.execute(sa.delete(retrainings).where(*(retrainings.c[name] == row[name] for name in _COLUMNS[:3])))
            writing.execute(sa.insert(retrainings).values(**row, details=json.dumps(values)))

    def remove(self, study: str, number: int, name: str, connection: sa.Connection | None = None) -> None:
        """Remove a retraining, if it is there."""
        place = {"study": study, "number": number, "name": name}
        with self._store.write(connection) as writing:
            writing.execute(sa.delete(retrainings).where(*(retrainings.c[key] == each for key, each in place.items())))

    def list(self, study: str) -> tuple[Retraining, ...]:
        """Return the retrainings of a study's trials, by number and then by name."""
        order = (retrainings.c.number, retrainings.c.name)
        with self._store.read() as connection:
            rows = connection.execute(sa.select(retrainings).where(retrainings.c.study == study).order_by(*order))
            return tuple(_parse_row(row) for row in rows.mappings())


def _parse_row(row: sa.RowMapping) -> Retraining:
    values: dict[str, Any] = {**{name: row[name] for name in _COLUMNS}, **json.loads(row["details"])}
    return Retraining(**{**values, "scores": tuple(values["scores"]), "parts": tuple(values["parts"])})
