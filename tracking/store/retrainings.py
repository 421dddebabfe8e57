"""Every further training of a study's best trials, one row each: what the winner was chosen by."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

import sqlalchemy as sa

from tracking.store.database import Store, retrainings

_COLUMNS: Final = ("study", "number", "name", "seed", "state", "value")


@dataclass(frozen=True)
class Retraining:
    """A trial trained once more.

    Attributes:
        number: the trial's.
        name: unique within the trial: `seed-1`, `folds`, `refit`, `ensemble`.
        seed: what it was trained with.
        value: the objective; None where it failed. With folds, the mean over them.
        scores: the objective of each training in it: one, or one a fold.
        metrics: every metric at its best epoch; of a refit, at its last.
        epochs: the epoch that was kept, counted from 1.
        parts: numbers of the trials that it was made of; empty for a trial's own.
        reason: why it failed.
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
    """The retrainings of all studies in a store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def put(self, retraining: Retraining, connection: sa.Connection | None = None) -> None:
        """Store a retraining; an earlier one of that trial and name is replaced."""
        values = asdict(retraining)
        row = {name: values.pop(name) for name in _COLUMNS}
        with self._store.write(connection) as writing:
            writing.execute(sa.delete(retrainings).where(*(retrainings.c[name] == row[name] for name in _COLUMNS[:3])))
            writing.execute(sa.insert(retrainings).values(**row, details=json.dumps(values)))

    def of(self, study: str) -> tuple[Retraining, ...]:
        """Return the retrainings of a study's trials, by number and then by name."""
        order = (retrainings.c.number, retrainings.c.name)
        with self._store.read() as connection:
            rows = connection.execute(sa.select(retrainings).where(retrainings.c.study == study).order_by(*order))
            return tuple(_read(row) for row in rows.mappings())


def _read(row: sa.RowMapping) -> Retraining:
    values: dict[str, Any] = {**{name: row[name] for name in _COLUMNS}, **json.loads(row["details"])}
    return Retraining(**{**values, "scores": tuple(values["scores"]), "parts": tuple(values["parts"])})
