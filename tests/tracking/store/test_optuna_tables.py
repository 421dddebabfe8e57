"""Trials written to Optuna's tables at once: the same rows as by Optuna's storage, and all of them or none."""

from __future__ import annotations

import math
from datetime import datetime, timedelta

import optuna
import pytest
import sqlalchemy as sa
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState

from search_spaces.errors import KerastudyError
from tracking.store.optuna_tables import TrialRows

DISTRIBUTIONS = {
    "rate": FloatDistribution(1e-4, 1.0, log=True),
    "share": FloatDistribution(0.0, 0.5, step=0.1),
    "units": IntDistribution(1, 64, log=True),
    "kind": CategoricalDistribution(("a", None, 3, True)),
}
PARAMS = {"rate": 0.1, "share": 0.30000000000000004, "units": 7, "kind": None}
STARTED = datetime(2026, 3, 29, 1, 30, 0, 123456)


def trial_of(number, state=TrialState.RUNNING, **more):
    ended = STARTED + timedelta(hours=2) if state.is_finished() else None
    given = {
        "value": None,
        "datetime_start": None if state == TrialState.WAITING else STARTED,
        "datetime_complete": ended,
        "params": PARAMS,
        "distributions": DISTRIBUTIONS,
        "user_attrs": {"kerastudy:result": {"metrics": {"val_loss": math.nan}, "name": "\u00e9"}},
        "system_attrs": {"fixed_params": {"rate": 0.1}},
        "intermediate_values": {},
        **more,
    }
    return FrozenTrial(number=number, state=state, trial_id=-1, **given)


@pytest.fixture
def storage(store):
    return store.open_optuna_storage()


def new_study(storage, name="it"):
    return optuna.create_study(storage=storage, study_name=name)._study_id


def rows_of(storage, study):
    """Return what the tables hold of a study's trials, but for the ids of the rows."""
    with storage.engine.connect() as connection:

        def ask(text):
            return connection.execute(sa.text(text), {"study": study}).all()

        trials = ask(
            "SELECT number, state, datetime_start, datetime_complete FROM trials WHERE study_id = :study ORDER BY 1"
        )
        parts = {
            "trial_params": "param_name, param_value, distribution_json",
            "trial_user_attributes": "key, value_json",
            "trial_system_attributes": "key, value_json",
            "trial_values": "objective, value, value_type",
            "trial_intermediate_values": "step, intermediate_value, intermediate_value_type",
        }
        return trials, {
            table: ask(
                f"SELECT number, {columns} FROM {table} JOIN trials USING (trial_id) "
                "WHERE study_id = :study ORDER BY number, 2"
            )
            for table, columns in parts.items()
        }


@pytest.mark.parametrize(
    "trial",
    [
        trial_of(0),
        trial_of(0, TrialState.WAITING, params={}, distributions={}),
        trial_of(0, TrialState.COMPLETE, value=0.1 + 0.2, intermediate_values={1: 0.5, 3: 0.25}),
        trial_of(0, TrialState.COMPLETE, value=-math.inf),
        trial_of(0, TrialState.PRUNED, value=math.inf, intermediate_values={1: math.inf, 2: -math.inf, 3: math.nan}),
        trial_of(0, TrialState.FAIL, user_attrs={}, system_attrs={}),
    ],
    ids=lambda trial: f"{trial.state.name}-{trial.value}",
)
def test_the_rows_are_those_that_optuna_writes(storage, trial):
    """Table by table a trial is stored as Optuna's storage stores it, and Optuna reads the same of both."""
    ours, its = new_study(storage, "ours"), new_study(storage, "its")
    storage.create_new_trial(its, trial)
    TrialRows(storage, ours, ()).write([trial])
    assert rows_of(storage, ours) == rows_of(storage, its)
    read = [storage.get_all_trials(study)[0] for study in (ours, its)]
    assert read[0].params == read[1].params == dict(trial.params)
    assert (read[0].datetime_start, read[0].datetime_complete) == (trial.datetime_start, trial.datetime_complete)


def test_a_trial_written_again_is_what_it_is_now(storage):
    """Each write replaces what is known of a trial and leaves the others alone."""
    study, fresh = new_study(storage), new_study(storage, "fresh")
    rows = TrialRows(storage, study, ())
    rows.write([trial_of(0), trial_of(1)])
    ended = trial_of(1, TrialState.PRUNED, value=2.0, params={"rate": 0.2}, user_attrs={}, intermediate_values={1: 2.0})
    rows.write([ended])
    TrialRows(storage, fresh, ()).write([trial_of(0), ended])
    assert rows_of(storage, study) == rows_of(storage, fresh)


def test_known_trials_are_written_to_where_they_are(storage):
    """The trials that a study had when it was opened are found again, among those of other studies."""
    other, study = new_study(storage, "other"), new_study(storage)
    TrialRows(storage, study, ()).write([trial_of(0), trial_of(1)])
    TrialRows(storage, other, ()).write([trial_of(0)])
    rows = TrialRows(storage, study, storage.get_all_trials(study))
    rows.write([trial_of(1, TrialState.FAIL), trial_of(2)])
    states = [trial.state for trial in storage.get_all_trials(study)]
    assert states == [TrialState.RUNNING, TrialState.FAIL, TrialState.RUNNING]
    assert [trial.state for trial in storage.get_all_trials(other)] == [TrialState.RUNNING]


def test_one_transaction_is_all_or_nothing(storage):
    """Where one of several trials cannot be written, none is, and what is known stays right."""
    study = new_study(storage)
    rows = TrialRows(storage, study, ())
    with pytest.raises(TypeError, match="serializable"):
        rows.write([trial_of(0), trial_of(1, user_attrs={"bad": object()})])
    assert storage.get_all_trials(study) == []
    rows.write([trial_of(0), trial_of(1)])
    assert len(storage.get_all_trials(study)) == 2


@pytest.mark.parametrize(
    "change",
    [
        lambda storage, study: storage.create_new_trial(study),
        lambda storage, study: storage.set_trial_state_values(
            storage.get_all_trials(study)[0]._trial_id, TrialState.FAIL
        ),
        lambda storage, study: storage.delete_study(study),
    ],
    ids=["added", "ended", "deleted"],
)
def test_another_writer_is_refused(storage, change):
    """What another process has added, ended or deleted is seen, and left as it is."""
    study = new_study(storage)
    rows = TrialRows(storage, study, ())
    rows.write([trial_of(0)])
    change(storage, study)
    before = rows_of(storage, study)
    with pytest.raises(KerastudyError, match="another process"):
        rows.write([trial_of(0), trial_of(1)])
    assert rows_of(storage, study) == before


def test_an_end_writes_only_what_is_new(storage):
    """Parameters and attributes that the start has written stay as they are; a further process writes all again."""
    study = new_study(storage)
    rows = TrialRows(storage, study, [])
    rows.write([trial_of(0)])
    ended = trial_of(0, TrialState.COMPLETE, value=0.5, user_attrs={"a": 1}, intermediate_values={1: 0.5})
    statements = []
    sa.event.listen(storage.engine, "before_cursor_execute", lambda *call: statements.append(call[2].split(" SET")[0]))
    rows.write([ended])
    assert [" ".join(statement.split()[:3]) for statement in statements] == [
        "UPDATE trials",
        "DELETE FROM trial_user_attributes",
        "INSERT INTO trial_user_attributes",
        "INSERT INTO trial_values",
        "INSERT INTO trial_intermediate_values",
    ]
    at_once = new_study(storage, "at-once")
    TrialRows(storage, at_once, []).write([ended])
    assert rows_of(storage, study) == rows_of(storage, at_once)
