"""An earlier study as knowledge: its points and its scores, in another space."""

from __future__ import annotations

import numpy as np
import optuna
import pytest

from pipelines.search.earlier_trials import (
    EarlierTrial,
    EarlierTrials,
    collect_earlier_trials,
    read_earlier_trials,
    write_earlier_trials,
)
from pipelines.search.gp.earlier import add_earlier_trials
from pipelines.search.gp.encoding import PointEncoding
from pipelines.search.gp.observations import Observations
from pipelines.search.optuna_search import OptunaSearch, SearchSettings
from pipelines.search.trial_summaries import TrialSummary
from pipelines.spec.schema import SearchSpec
from pipelines.study.objective import Objective
from search_spaces.parse import parse_space_dict
from search_spaces.suggest import make_distributions

SPACE = parse_space_dict(
    {
        "x": {"type": "float", "low": 0, "high": 1},
        "kind": ["a", "b"],
        "n": {"type": "int", "low": 1, "high": 9, "step": 2},
    }
)
ENCODING = PointEncoding(make_distributions(SPACE))
LOSS = Objective("val_loss", "minimize")


def loss(values):
    return (values["x"] - 0.7) ** 2 + (values["kind"] != "b") + abs(values["n"] - 5) / 10


def search_of(storage, name, **settings):
    spec = SearchSpec(sampler="gp", pruner="none", startup_trials=4)
    return OptunaSearch(storage, name, SearchSettings(SPACE, LOSS, spec, 9, **settings))


def try_trials(search, count, offset=0.0):
    found = []
    for _ in range(count):
        number, values = search.ask()
        found.append(loss(values))
        search.tell(TrialSummary(number, "complete", loss(values) + offset, values))
    return found


@pytest.fixture
def storage(tmp_path):
    return optuna.storages.RDBStorage(f"sqlite:///{tmp_path}/optuna.db")


def test_a_study_begins_where_the_earlier_one_ended(storage, tmp_path):
    """Also where the data has changed, so that all its scores are worse."""
    earlier = search_of(storage, "earlier")
    best_before = min(try_trials(earlier, 20))
    known = collect_earlier_trials("earlier", optuna.load_study(study_name="earlier", storage=storage).get_trials())
    write_earlier_trials(tmp_path, known)
    assert read_earlier_trials(tmp_path) == known
    found = try_trials(search_of(storage, "later", earlier=known), 6, offset=3.0)
    without = try_trials(search_of(storage, "without"), 6, offset=3.0)
    assert min(found[1:4]) < best_before + 0.02
    assert np.mean(found[1:]) < np.mean(without[1:]) / 2


def test_its_best_points_fit_into_another_space():
    trials = tuple(EarlierTrial({"x": x, "kind": "b", "n": 3}, {}, x) for x in (0.9, 0.2, 3.0))
    known = EarlierTrials("it", (*trials, EarlierTrial({"x": 0.0, "kind": "b", "n": 3}, {3: 0.1}, None)))
    assert known.list_points(SPACE, "minimize", 9) == (
        {"x": 0.2, "kind": "b", "n": 3},
        {"x": 0.9, "kind": "b", "n": 3},
        {"x": 1.0, "kind": "b", "n": 3},
    )
    assert known.list_points(SPACE, "maximize", 1) == ({"x": 1.0, "kind": "b", "n": 3},)


def seen(*points_and_scores):
    rows = np.array([ENCODING.encode(point, make_distributions(SPACE)) for point, _ in points_and_scores])
    count = len(points_and_scores)
    scores = np.array([score for _, score in points_and_scores])
    return Observations(
        rows, np.ones(count), scores, rows[:0], np.zeros(count, dtype=bool), np.zeros(count, dtype=bool)
    )


def test_scores_are_moved_by_what_both_studies_tried():
    trials = [EarlierTrial({"x": x, "kind": "a", "n": 1}, {}, x) for x in (0.1, 0.5)]
    joined = add_earlier_trials(
        seen(({"x": 0.5, "kind": "a", "n": 1}, -2.5)), trials, SPACE, ENCODING, sign=-1.0, epochs=9
    )
    np.testing.assert_allclose(joined.scores, [-2.5, -2.1, -2.5])
    assert joined.is_earlier.tolist() == [False, True, True]


def test_a_trial_that_the_space_could_not_hold_teaches_nothing():
    """Its score is that of another point than the nearest one here."""
    trials = [
        EarlierTrial({"x": 5.0, "kind": "a", "n": 1}, {}, 0.1),
        EarlierTrial({"x": 0.5, "kind": "c", "n": 1}, {}, 0.1),
        EarlierTrial({"x": 0.5, "kind": "a", "n": 2}, {}, 0.1),
        EarlierTrial({"x": 0.5, "kind": "a", "other": 2}, {1: 0.3, 3: 0.2}, None),
    ]
    joined = add_earlier_trials(seen(({"x": 0.5}, -1.0)), trials, SPACE, ENCODING, sign=-1.0, epochs=9)
    np.testing.assert_allclose(joined.scores, [-1.0, -0.3, -0.2])
    np.testing.assert_allclose(joined.progress, [1, 0, 0.5])


def joined_scores(space, *trials):
    space = parse_space_dict(space)
    distributions = make_distributions(space)
    encoding = PointEncoding(distributions)
    row = encoding.encode({"x": 0.5}, distributions)
    one = Observations(
        row[None],
        np.ones(1),
        np.array([-1.0]),
        np.zeros((0, len(row))),
        np.zeros(1, dtype=bool),
        np.zeros(1, dtype=bool),
    )
    return add_earlier_trials(one, trials, space, encoding, sign=-1.0, epochs=9).scores.tolist()


def test_what_the_space_fixes_now_leaves_out_trials_with_another_value():
    """Unless no earlier trial has that value: then it is a setting in which the two studies differ."""
    x, trials = {"type": "float", "low": 0, "high": 1}, []
    for score, kind in enumerate("abab"):
        trials.append(EarlierTrial({"x": score / 9, "kind": kind, "width": 8, "epochs": 5}, {}, float(score)))
    assert joined_scores({"x": x, "kind": "b", "width": 16, "epochs": 9}, *trials) == [-1, -1, -3]
    assert joined_scores({"x": x, "kind": "c", "epochs": 5}, *trials) == [-1, 0, -1, -2, -3]
    # One that a constraint forbids now was no point of this space.
    assert joined_scores({"x": x, "constraints": ["x > 0.2"]}, *trials) == [-1, -2, -3]


def test_a_choice_that_only_code_offers_now_is_no_error():
    """What the space does not declare has the values of this study's trials."""
    space = parse_space_dict({"x": {"type": "float", "low": 0, "high": 1}})
    drawn_from = {**make_distributions(space), "kind": optuna.distributions.CategoricalDistribution(("a", "b"))}
    encoding = PointEncoding(drawn_from)
    row = encoding.encode({"x": 0.5, "kind": "a"}, drawn_from)
    one = Observations(
        row[None], np.ones(1), np.array([-1.0]), np.zeros((0, 2)), np.zeros(1, dtype=bool), np.zeros(1, dtype=bool)
    )
    trials = [EarlierTrial({"x": 0.1, "kind": kind}, {}, 0.5) for kind in ("c", "b")]
    assert len(add_earlier_trials(one, trials, space, encoding, sign=-1.0, epochs=9).scores) == 2
