"""Writer of trials into Optuna's tables, any number of trials in one transaction.

Optuna's storage looks a trial up again for each of its parameters and commits each attribute and each rung by
itself: 17 ms of CPU for a trial of ten parameters, and as many commits as rungs. Here the rows of a `FrozenTrial` are
written all at once. The tables remain Optuna's: it creates them, checks their version and reads them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import sqlalchemy as sa
from optuna.distributions import distribution_to_json
from optuna.storages import RDBStorage
from optuna.storages._rdb import models  # private: no public way writes a trial at once
from optuna.trial import FrozenTrial, TrialState

from search_spaces.errors import KerastudyError

_trials: Final = models.TrialModel.__table__
_params: Final = models.TrialParamModel.__table__
_user_attrs: Final = models.TrialUserAttributeModel.__table__
_system_attrs: Final = models.TrialSystemAttributeModel.__table__
_values: Final = models.TrialValueModel.__table__
_rungs: Final = models.TrialIntermediateValueModel.__table__
_OF_A_TRIAL: Final = (_params, _user_attrs, _system_attrs, _values, _rungs)
_heartbeats: Final = models.TrialHeartbeatModel.__table__
_OF_TRIALS: Final = (*_OF_A_TRIAL, _heartbeats)
_studies: Final = models.StudyModel.__table__
_OF_A_STUDY: Final = tuple(
    model.__table__
    for model in (models.StudyDirectionModel, models.StudyUserAttributeModel, models.StudySystemAttributeModel)
)
_UNFINISHED: Final = (TrialState.RUNNING, TrialState.WAITING)
_Rows = dict[sa.FromClause, list[dict[str, Any]]]


class TrialRows:
    """Rows of one study's trials, for the only process that writes them.

    Args:
        study: the study's id in the database.
        known: all of its trials, as read from the database.
        check: raises, within the transaction, if another process works on the study now.
    """

    def __init__(
        self,
        storage: RDBStorage,
        study: int,
        known: Iterable[FrozenTrial],
        check: Callable[[sa.Connection], None] = lambda connection: None,
    ) -> None:
        self._engine = storage.engine
        self._study = study
        self._check = check
        self._ids = {trial.number: trial._trial_id for trial in known}
        # Rows of unfinished trials that this process has written, by trial and table: what is the same stays.
        self._written: dict[int, _Rows] = {}

    def write(self, trials: Sequence[FrozenTrial]) -> None:
        """Write trials as they are, in one transaction; new ones in order of their numbers.

        Raises:
            KerastudyError: if another process has written trials of the study.
            Whatever `check` raises; nothing is written then.
        """
        with self._engine.begin() as connection:
            ids = {**self._ids}
            for trial in trials:
                if trial.number in ids:
                    self._update(connection, trial)
                else:
                    ids[trial.number] = self._insert(connection, trial, ids)
            rows = {trial.number: _list_rows(trial) for trial in trials}
            self._write_rows(connection, ids, rows)
            # Last, because SQLite takes the write lock with the first statement that writes, not before.
            self._check(connection)
        # Only now: a transaction that failed leaves no rows behind.
        self._ids = ids
        for trial in trials:
            self._written.pop(trial.number, None)
            if trial.state in _UNFINISHED:
                self._written[trial.number] = rows[trial.number]

    def _write_rows(self, connection: sa.Connection, ids: dict[int, int], rows: dict[int, _Rows]) -> None:
        """Write the rows of trials, table by table, in place of those that are there."""
        for table in _OF_A_TRIAL:
            added: list[dict[str, Any]] = []
            for number, of_trial in rows.items():
                before = self._written[number][table] if number in self._written else None
                if of_trial[table] == before:
                    continue
                # Of a trial that an earlier process began, the rows are not known.
                if before or (before is None and number in self._ids):
                    connection.execute(sa.delete(table).where(table.c.trial_id == ids[number]))
                added += [{"trial_id": ids[number], **row} for row in of_trial[table]]
            if added:
                connection.execute(sa.insert(table), added)

    def _insert(self, connection: sa.Connection, trial: FrozenTrial, ids: dict[int, int]) -> int:
        added = connection.execute(
            sa.insert(_trials).values(
                number=trial.number, study_id=self._study, state=trial.state, **_make_times(trial)
            )
        )
        made = int(added.inserted_primary_key[0])  # type: ignore[index]
        of_study = sa.select(sa.func.max(_trials.c.trial_id)).where(_trials.c.study_id == self._study)
        # Ids grow with each insert: a foreign trial between ours shows as an unexpected id.
        before = connection.scalar(of_study.where(_trials.c.trial_id < made))
        if before != ids.get(trial.number - 1):
            raise self._make_conflict_error(trial)
        return made

    def _update(self, connection: sa.Connection, trial: FrozenTrial) -> None:
        known = self._ids[trial.number]
        updated = connection.execute(
            sa.update(_trials)
            .where(_trials.c.trial_id == known, _trials.c.state.in_(_UNFINISHED))
            .values(state=trial.state, **_make_times(trial))
        )
        if updated.rowcount != 1:
            raise self._make_conflict_error(trial)

    def _make_conflict_error(self, trial: FrozenTrial) -> KerastudyError:
        return KerastudyError(
            f"trial {trial.number} cannot be written: another process has changed the study's trials in the store. "
            "End it, and run the study again: it continues from what the store holds"
        )


def _make_times(trial: FrozenTrial) -> dict[str, datetime | None]:
    return {"datetime_start": _to_utc(trial.datetime_start), "datetime_complete": _to_utc(trial.datetime_complete)}


def _to_utc(local: datetime | None) -> datetime | None:
    """Return a time as Optuna stores it: in UTC, without a time zone."""
    return None if local is None else local.astimezone(UTC).replace(tzinfo=None)


def _list_rows(trial: FrozenTrial) -> _Rows:
    """Return a trial's rows by table, without its id."""
    return {table: list(_generate_trial_rows(table, trial)) for table in _OF_A_TRIAL}


def _generate_trial_rows(table: sa.FromClause, trial: FrozenTrial) -> Iterator[dict[str, Any]]:
    if table is _params:
        for name, value in trial.params.items():
            drawn_from = trial.distributions[name]
            stored, written = drawn_from.to_internal_repr(value), distribution_to_json(drawn_from)
            yield {"param_name": name, "param_value": stored, "distribution_json": written}
    elif table is _values:
        for objective, value in enumerate(trial.values or ()):
            stored_value, kind = models.TrialValueModel.value_to_stored_repr(value)
            yield {"objective": objective, "value": stored_value, "value_type": kind}
    elif table is _rungs:
        for step, value in trial.intermediate_values.items():
            at_rung, kind_at_rung = models.TrialIntermediateValueModel.intermediate_value_to_stored_repr(value)
            yield {"step": step, "intermediate_value": at_rung, "intermediate_value_type": kind_at_rung}
    else:
        for key, attr in (trial.user_attrs if table is _user_attrs else trial.system_attrs).items():
            yield {"key": key, "value_json": json.dumps(attr)}


def delete_studies(connection: sa.Connection, names: Iterable[str]) -> None:
    """Delete studies with their trials from Optuna's tables, as part of a transaction.

    Optuna's own deletion loads every row of a study into memory.
    """
    for name in names:
        study = connection.scalar(sa.select(_studies.c.study_id).where(_studies.c.study_name == name))
        of_study = sa.select(_trials.c.trial_id).where(_trials.c.study_id == study)
        for table in _OF_TRIALS:
            connection.execute(sa.delete(table).where(table.c.trial_id.in_(of_study)))
        for table in (_trials, *_OF_A_STUDY, _studies):
            connection.execute(sa.delete(table).where(table.c.study_id == study))
