"""Rules of what the model of a study's scores learns from its trials."""

from __future__ import annotations

import numpy as np
from optuna.distributions import FloatDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from pipelines.search.gp.encoding import PointEncoding
from pipelines.search.gp.observations import Observations, read_observations

AXES = {"x": FloatDistribution(0.0, 1.0)}
EPOCHS = 4


def make_trial(number: int, state: TrialState, reached: int) -> FrozenTrial:
    """Return a trial with the score of each of the epochs that it has reached."""
    trial = create_trial(
        state=state,
        value=float(reached) if state == TrialState.COMPLETE else None,
        params={"x": number / 10},
        distributions=AXES,
        intermediate_values={epoch: float(epoch) for epoch in range(1, reached + 1)},
    )
    trial.number = number
    return trial


def read(*trials: FrozenTrial) -> Observations:
    """Return what is learned of trials whose score is their last epoch's."""
    finals = {trial.number: trial.values[0] for trial in trials if trial.values}
    return read_observations(trials, PointEncoding(AXES), finals, sign=1.0, epochs=EPOCHS)


def test_a_trial_at_work_does_not_bring_back_the_curves_of_those_that_ended():
    complete = [make_trial(number, TrialState.COMPLETE, EPOCHS) for number in range(3)]
    seen = read(*complete, make_trial(3, TrialState.RUNNING, 2))
    assert seen.scores.tolist() == [4.0, 4.0, 4.0]
    assert seen.pending.tolist() == [[0.3]]
    assert not seen.has_curves


def test_the_curves_stay_where_a_trial_ended_before_its_last_epoch():
    seen = read(make_trial(0, TrialState.COMPLETE, EPOCHS), make_trial(1, TrialState.PRUNED, 2))
    assert seen.has_curves
    assert np.unique(seen.points[:, 0]).tolist() == [0.0, 0.1]
    assert len(seen.scores) == EPOCHS + 2


def test_before_the_first_end_trials_at_work_have_their_curves():
    seen = read(make_trial(0, TrialState.RUNNING, 2))
    assert seen.scores.tolist() == [1.0, 2.0]
