"""What `sampler: auto` chooses for different study files, and why."""

from __future__ import annotations

import pytest
from small_studies import study_of

from pipelines.search.sampler_choice import choose_sampler
from pipelines.study.context import StudyContext
from pipelines.study.objective import Objective

HEAD = "study: it\ndata: {source: data.csv, target: y}\nmodel: mlp\n"
RATE = "learning_rate: {type: float, low: 1e-4, high: 1e-1, log: true}"
MANY = ", ".join(f"units_{layer}: [8, 16]" for layer in range(1, 52))
TWO = "objectives:\n  - {metric: val_loss}\n  - {metric: parameters}\n"


@pytest.mark.parametrize(
    ("text", "name", "reason"),
    [
        (f"space: {{{RATE}}}\n", "gp", "one objective, 1 hyperparameter, 30 trials; a Gaussian process learns most"),
        (f"space: {{{RATE}}}\nresources: {{workers: 4}}\n", "gp", "a Gaussian process learns most from few trials"),
        (f"space: {{{RATE}}}\n{TWO}", "gp", "2 objectives, 1 hyperparameter, 30 trials"),
        (
            f"space: {{{RATE}}}\nbudget: {{trials: 600}}\n",
            "tpe",
            "learns most from few trials, and is slow with more than 500",
        ),
        (f"space: {{{RATE}}}\n{TWO}budget: {{trials: 2000}}\n", "nsga2", "a population of points pays"),
        (
            f"space: {{depth: 51, {MANY}}}\n",
            "tpe",
            "51 hyperparameters, 30 trials; a Gaussian process is vague with more than 50",
        ),
        ("space: {depth: [1, 2], activation: [relu, tanh]}\n", "random", "all 4 combinations are tried, in any order"),
        ("space: {depth: 2}\nbudget: {trials: 3}\n", "random", "nothing is searched"),
        (
            f"space: {{{RATE}}}\nresources: {{workers: 2, fleet: 16}}\n",
            "qmc",
            "32 of 30 trials run at once, and learn nothing from each other",
        ),
        (
            "space: {depth: [1, 2], activation: [relu, tanh]}\nbudget: {trials: 9, improvement: 0.1}\n",
            "gp",
            "it alone estimates budget.improvement",
        ),
        (f"space: {{{RATE}}}\nsearch: {{sampler: cma-es}}\n", "cma-es", ""),
    ],
)
def test_the_choice_and_its_reason(text, name, reason, tmp_path):
    context = StudyContext(study_of(HEAD + text), None, None, Objective("val_loss", "minimize"))
    choice = choose_sampler(context)
    assert choice.name == name
    assert reason in choice.reason
    assert choice.describe().startswith("gp, and tpe after 200 trials" if choice.gp_trials else name)
    assert ("search.sampler is auto" in choice.describe()) == bool(reason)


@pytest.mark.parametrize(
    ("sampler", "names"),
    [
        ("cma-es", ": optimizer, momentum, since it takes only ranges"),
        ("gp-optuna", ": momentum, since it takes only what"),
    ],
)
def test_what_a_sampler_leaves_to_chance_is_stated(sampler, names):
    """Choices and what a condition leaves out, once a study, in place of Optuna's warning with each trial."""
    momentum = "optimizer: [sgd, adam], momentum: {type: float, low: 0, high: 1, when: {optimizer: sgd}}"

    def describe(space):
        study = study_of(f"{HEAD}{space}search: {{sampler: {sampler}}}\n")
        return choose_sampler(StudyContext(study, None, None, Objective("val_loss", "minimize"))).describe()

    assert names in describe(f"space: {{{RATE}, {momentum}}}\n")
    assert describe(f"space: {{{RATE}}}\n") == sampler
