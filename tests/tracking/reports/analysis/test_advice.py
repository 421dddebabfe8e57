"""Each rule of advice, where it should speak and where it should not."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import pytest
from report_studies import PARAMETERS, draw_params, make_curve, make_report, make_trials

from tracking.reports.analysis.advice import list_advice
from tracking.reports.analysis.importances import Importance
from tracking.reports.content import DataSection, ReportBaseline, ReportFinalist, ReportParameter, ReportTrial


def advise(report, importances=()):
    """Return the texts of each rule that speaks."""
    found = {}
    for each in list_advice(report, importances):
        found.setdefault(each.rule, []).append(f"{each.title} {each.text}")
    return found


def near(name, value, sharpness=1.0):
    """Return a score that is best where a parameter has a value, on a logarithmic scale where it has one."""
    parameter = next(each for each in PARAMETERS if each.name == name)
    best = parameter.locate(value)
    return lambda params: 0.9 - sharpness * abs(parameter.locate(params[name]) - best)


def test_a_calm_study_gets_no_advice():
    """A study whose best values are inside, whose budget fits and whose winner is fine is left alone."""
    trials = make_trials(60, near("learning_rate", 0.01, 3.0))
    report = make_report(trials)
    curves = {report.winner: make_curve(best=20)}
    calm = {"bounds", "overfitting", "baseline", "rare-class", "failures", "epochs", "influence", "rivals"}
    assert calm.isdisjoint(advise(replace(report, curves=curves)))


@pytest.mark.parametrize(
    ("name", "value", "key", "suggested"),
    [
        ("learning_rate", 1.0, "space.learning_rate.high", "to 10,"),
        ("learning_rate", 1e-4, "space.learning_rate.low", "to 1e-05,"),
        ("units", 256, "space.units.high", "to 2560,"),
        ("dropout", 0.5, "space.dropout.high", "to 0.75,"),
        ("dropout", 0.0, "space.dropout: 0", "Its range ends there"),
    ],
)
def test_best_trials_at_a_bound(name, value, key, suggested):
    """Best trials at an end of the range ask for more room there, on the scale that is searched."""
    (text,) = advise(make_report(make_trials(200, near(name, value))))["bounds"]
    assert text.startswith(f"{name} presses against its")
    assert key in text
    assert suggested in text


def test_log_ranges_are_judged_by_their_logarithm():
    """Values around 0.001 of 0.0001 to 1 lie in the lowest hundredth of the range, and not at its end."""
    assert "bounds" not in advise(make_report(make_trials(200, near("learning_rate", 3e-3))))


def test_a_whole_number_with_few_values_is_no_bound_by_chance():
    """Of depth 1 to 3 each value is an end or a middle: half of the best at one end is chance."""
    chance = random.Random(5)
    depth = ReportParameter("depth", 1, 3, is_whole=True)
    trials = [
        ReportTrial(number, "complete", (chance.random(),), {"depth": chance.randint(1, 3)}) for number in range(60)
    ]
    assert "bounds" not in advise(make_report(trials, parameters=[depth]))


def test_parameters_without_influence():
    """A parameter is named where its whole interval is small, and never where few trials are known."""
    found = [Importance("learning_rate", 0.9, 0.8, 0.95), Importance("batch_norm", 0.01, 0.0, 0.03)]
    report = make_report(make_trials(60))
    (text,) = advise(report, found)["influence"]
    assert "batch_norm: " in text
    assert "learning_rate" not in text
    assert "influence" not in advise(report, [found[0], Importance("batch_norm", 0.01, 0.0, 0.2)])
    assert "influence" not in advise(make_report(make_trials(30)), found)


def test_a_budget_beyond_the_plateau():
    """A search whose gain was complete after a quarter of the trials gets a smaller budget to try."""
    scores = iter([0.5, 0.7, 0.9, 0.91, *[0.6 + 0.001 * (number % 7) for number in range(36)]])
    (text,) = advise(make_report(make_trials(40, lambda params: next(scores))))["plateau"]
    assert "trial 3" in text
    assert "budget.trials near 10" in text


def test_a_search_that_still_gains():
    """A best trial among the last asks for more trials."""
    scores = iter(0.5 + 0.01 * number for number in range(40))
    found = advise(make_report(make_trials(40, lambda params: next(scores))))
    assert "trial 39" in found["budget"][0]
    assert "plateau" not in found


@pytest.mark.parametrize(
    ("curve", "expected"),
    [
        (make_curve(20, best=8), "val_loss was least after epoch 8"),
        (make_curve(20, train=1.0, val=0.7), "accuracy is 1 on training rows and 0.7 on validation rows"),
        (make_curve(20), None),
        ([], None),
        ([{"val_accuracy": math.nan, "val_loss": math.nan}] * 9, None),
        ([{"val_loss": loss} for loss in (0.7, 0.1, 6e-5, 2e-4, 5e-4, 9e-4, 9e-4)], None),
    ],
)
def test_overfitting(curve, expected):
    """A validation loss that grows, or training rows that are much easier, are named; a calm curve is not."""
    trials = [replace(trial, best_epoch=20) for trial in make_trials(30)]
    report = make_report(trials)
    found = advise(replace(report, curves={report.winner: curve})).get("overfitting")
    assert (found is None) if expected is None else (expected in found[0])


def test_a_rare_class():
    """Accuracy is questioned where a class is rare; another metric is not."""
    data = DataSection(class_counts={"no": 980, "yes": 20}, has_rare_class=True)
    (text,) = advise(make_report(make_trials(30), data=data))["rare-class"]
    assert '"yes" is rare: 20 training rows, 2.0%' in text
    assert "val_balanced_accuracy" in text
    (text,) = advise(replace(make_report(make_trials(30), data=data), metric="val_auc"))["rare-class"]
    assert "val_balanced_accuracy" not in text
    assert "training.class_weight: balanced" in text


def test_a_winner_below_a_simple_model():
    """A baseline that is not beaten is named, on validation rows and else on test rows."""
    trials = make_trials(30)
    (text,) = advise(make_report(trials, unbeaten="not better than a linear model"))["baseline"]
    assert "not better than a linear model" in text
    linear = [ReportBaseline("a linear model", 0.8, 0.93)]
    settings = {"baselines": linear, "data": DataSection(part_rows={"test": 40})}
    (text,) = advise(make_report(trials, test={"test_accuracy": 0.9}, **settings))["baseline"]
    assert "40 test rows" in text
    assert "baseline" not in advise(make_report(trials, test={"test_accuracy": 0.95}, **settings))


def test_many_failures():
    """Many failed trials are named with the reason of most of them; a few are not."""
    (text,) = advise(make_report(make_trials(20, states=("complete", "failed"))))["failures"]
    assert "10 of 20 trials failed" in text
    assert "space.learning_rate.high" in text
    fixed = [replace(each, low=None, high=None, choices=(1e9,)) for each in PARAMETERS]
    (text,) = advise(make_report(make_trials(4, states=("failed",)), parameters=fixed))["failures"]
    assert text.endswith("lower space.learning_rate.")
    assert "failures" not in advise(make_report(make_trials(40, states=("complete",) * 19 + ("failed",))))


def test_trials_that_needed_more_epochs():
    """Best trials whose best epoch is the last ask for more epochs, each by its limit."""
    trials = [replace(trial, best_epoch=20) for trial in make_trials(30)]
    assert "Raise space.epochs above 20" in advise(make_report(trials))["epochs"][0]
    own = [replace(trial, params={**trial.params, "epochs": 60}) for trial in trials]
    assert "epochs" not in advise(make_report(own, most_epochs=60))


def test_finalists_that_cannot_be_distinguished():
    """A second finalist within the interval of the first is named."""
    pair = [ReportFinalist(3, 0.9, (0.88, 0.92), (0.89, 0.91)), ReportFinalist(7, 0.89, (0.87, 0.91), (0.88, 0.9))]
    assert "Trials 3 and 7" in advise(make_report(make_trials(30), finalists=pair))["rivals"][0]
    apart = [pair[0], replace(pair[1], mean=0.8)]
    assert "rivals" not in advise(make_report(make_trials(30), finalists=apart))


def test_direction_is_heeded():
    """The rules hold for a score that is minimised."""
    score = near("learning_rate", 1.0)
    trials = make_trials(200, lambda params: 1 - score(params))
    assert "space.learning_rate.high" in advise(make_report(trials, "minimize"))["bounds"][0]
    assert "bounds" not in advise(make_report(trials, "maximize")) or "low" in advise(make_report(trials))["bounds"][0]


def test_values_are_those_of_the_parameters():
    """The made-up trials hold what their parameters declare."""
    params = draw_params(random.Random(1))
    assert set(params) <= {parameter.name for parameter in PARAMETERS}
