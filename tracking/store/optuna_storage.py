"""Optuna's storage with a reader of its own: every trial of a study in six statements, without an object for each row.

Optuna loads each parameter, attribute and point of a curve as an object of its ORM: 13 seconds of CPU for 10,000 trials
of ten parameters. All readers of trials come here: `show`, `trials`, reports, and a study that goes on.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Container, Mapping
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Final

import optuna
import sqlalchemy as sa
from optuna.distributions import BaseDistribution, json_to_distribution
from optuna.storages import RDBStorage
from optuna.storages._rdb import models  # private: Optuna's cache reads trials through `_get_trials`, its ORM
from optuna.storages._rdb import storage as rdb
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.orm import scoped_session, sessionmaker

from tracking.store.optuna_versions import create_tables, find_newest_version, read_version

VERSIONS: Final = frozenset({"5.0.0"})
"""Versions of Optuna whose storage is opened without Alembic: a test compares the two."""

_trials: Final = models.TrialModel.__table__
_params: Final = models.TrialParamModel.__table__
_values: Final = models.TrialValueModel.__table__
_curves: Final = models.TrialIntermediateValueModel.__table__
_Rows = Mapping[int, list[Any]]
# SQLite limits the number of variables in one statement.
_MOST_IDS: Final = 10_000


class TrialStorage(RDBStorage):
    """Optuna's storage; trials are equal to those that Optuna reads.

    Args:
        url: the database.
        options: arguments of `sqlalchemy.create_engine`.
    """

    def __init__(self, url: str, options: dict[str, Any]) -> None:
        engine = sa.create_engine(url, **options)
        is_current = read_version(engine) == find_newest_version() or create_tables(engine)
        if not is_current or optuna.__version__ not in VERSIONS:
            engine.dispose()
            super().__init__(url, engine_kwargs=options, skip_compatibility_check=True)
            return
        # What Optuna sets, without its check of the version, for which it loads Alembic.
        self.url, self.engine_kwargs, self.skip_compatibility_check = url, options, True
        self.heartbeat_interval = self.grace_period = None
        self.heartbeat_stale_trial_callback = self.failed_trial_callback = None
        self.engine = engine
        self.scoped_session = scoped_session(sessionmaker(bind=engine))

    @cached_property
    def _version_manager(self) -> Any:  # type: ignore[override]  # RDBStorage sets it
        return rdb._VersionManager(self.url, self.engine, self.scoped_session)

    def _get_trials(
        self,
        study_id: int,
        states: Container[TrialState] | None,
        included_trial_ids: set[int],
        trial_id_greater_than: int,
    ) -> list[FrozenTrial]:
        included = [number for number in included_trial_ids if number <= trial_id_greater_than]
        if len(included) > _MOST_IDS:
            return super()._get_trials(study_id, states, included_trial_ids, trial_id_greater_than)
        which = sa.and_(
            _trials.c.study_id == study_id,
            sa.or_(_trials.c.trial_id > trial_id_greater_than, _trials.c.trial_id.in_(included)),
        )
        with self.engine.connect() as connection:
            rows = connection.execute(sa.select(_trials).where(which).order_by(_trials.c.trial_id)).all()
            if not rows:  # a study that is not there raises an error
                return super()._get_trials(study_id, states, included_trial_ids, trial_id_greater_than)
            found = _TrialRows(connection, which)
        return [found.build(row) for row in rows if states is None or row.state in states]


class _TrialRows:
    """Rows of trials in the tables around Optuna's table of trials."""

    def __init__(self, connection: sa.Connection, which: sa.ColumnElement[bool]) -> None:
        def group(table: Any, order: str) -> _Rows:
            query = sa.select(table).join(_trials, _trials.c.trial_id == table.c.trial_id).where(which)
            rows: defaultdict[int, list[Any]] = defaultdict(list)
            for row in connection.execute(query.order_by(table.c[order])):
                rows[row.trial_id].append(row)
            return rows

        self._params = group(_params, "param_id")
        self._values = group(_values, "objective")
        self._curves = group(_curves, "trial_intermediate_value_id")
        self._user_attrs = group(models.TrialUserAttributeModel.__table__, "trial_user_attribute_id")
        self._system_attrs = group(models.TrialSystemAttributeModel.__table__, "trial_system_attribute_id")
        self._distributions: dict[str, BaseDistribution] = {}

    def build(self, trial: Any) -> FrozenTrial:
        """Return a trial of the table of trials."""
        number = trial.trial_id
        params = self._params.get(number, ())
        drawn_from = {row.param_name: self._parse(row.distribution_json) for row in params}
        to_value = models.TrialValueModel.stored_repr_to_value
        to_point = models.TrialIntermediateValueModel.stored_repr_to_intermediate_value
        return FrozenTrial(
            number=trial.number,
            state=trial.state,
            value=None,
            values=[to_value(row.value, row.value_type) for row in self._values.get(number, ())] or None,
            datetime_start=_to_local(trial.datetime_start),
            datetime_complete=_to_local(trial.datetime_complete),
            params={row.param_name: drawn_from[row.param_name].to_external_repr(row.param_value) for row in params},
            distributions=drawn_from,
            user_attrs=_read_attrs(self._user_attrs.get(number, ())),
            system_attrs=_read_attrs(self._system_attrs.get(number, ())),
            intermediate_values={
                row.step: to_point(row.intermediate_value, row.intermediate_value_type)
                for row in self._curves.get(number, ())
            },
            trial_id=number,
        )

    def _parse(self, text: str) -> BaseDistribution:
        # The trials of a study share a few distributions.
        if text not in self._distributions:
            self._distributions[text] = json_to_distribution(text)
        return self._distributions[text]


def _read_attrs(rows: Collection[Any]) -> dict[str, Any]:
    return {row.key: json.loads(row.value_json) for row in rows}


def _to_local(stored: datetime | None) -> datetime | None:
    """Return a time as Optuna gives it: local, without a time zone."""
    return None if stored is None else stored.replace(tzinfo=UTC).astimezone().replace(tzinfo=None)
