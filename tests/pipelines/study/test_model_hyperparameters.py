"""What a study knows of a model of its own: what it asks for, and which of the space's values it gets when."""

from __future__ import annotations

import optuna
import pytest
from small_studies import study_of

from pipelines.search.optuna_search import OptunaSearch, SearchSettings
from pipelines.search.trial_summaries import TrialSummary
from pipelines.study.load import load_study
from pipelines.study.model_hyperparameters import (
    compute_most_epochs,
    describe_user_model,
    find_undeclared,
    read_requests,
    select_initial_values,
    write_requests,
)
from pipelines.study.objective import Objective
from search_spaces.errors import InputError
from search_spaces.hypermodel_request import HyperparameterRequest
from tracking.store.database import Store

UNITS = HyperparameterRequest("units", "int", 8, low=8, high=64, step=8)
RATE = HyperparameterRequest("rate", "float", 0.01, low=1e-4, high=0.1, sampling="log")
KIND = HyperparameterRequest("kind", "choice", "a", choices=("a", "b"))
FIXED = HyperparameterRequest("fixed", "fixed", 3, choices=(3,))


def own(space="{}", **lines):
    extra = "".join(f"{key}: {value}\n" for key, value in lines.items())
    return study_of(f"study: it\ndata: {{source: d.csv, target: y}}\nmodel: model.py:build\nspace: {space}\n{extra}")


def test_questions_are_kept(tmp_path):
    """What a check heard is read back as it was; a shipped family left nothing."""
    assert read_requests(tmp_path) == ()
    write_requests(tmp_path, (UNITS, RATE, KIND, FIXED))
    assert read_requests(tmp_path) == (UNITS, RATE, KIND, FIXED)


def test_what_is_searched_besides_the_space():
    """It is what the space does not declare and the code does not fix."""
    assert find_undeclared((UNITS, RATE, KIND, FIXED), ["rate"]) == (UNITS, KIND)


@pytest.mark.parametrize(
    ("space", "asked", "initial_space"),
    [
        ("{units: [8, 16]}", (UNITS,), set()),
        ("{epochs: 3, batch_size: [8, 16]}", (), {"epochs", "batch_size"}),
        ("{epochs: 3}", (HyperparameterRequest("epochs", "int", 1, low=1, high=9),), set()),
        ("{kind: [a, b], units: {type: int, low: 8, high: 16, when: {kind: a}}}", (UNITS, KIND), {"kind", "units"}),
        ("{units: [8, 16], rate: [0.1, 0.2], constraints: [units * rate < 2]}", (UNITS, RATE), {"units", "rate"}),
    ],
)
def test_what_a_trial_is_started_with(space, asked, initial_space):
    """What `fit` is told and what conditions and constraints speak of; the rest is given when the code asks."""
    study = own(space)
    assert set(select_initial_values(study, asked).parameters) == initial_space
    known = describe_user_model(study, asked)
    assert known.deferred == set(study.space.parameters) - initial_space
    assert known.declared == set(study.space.parameters)


@pytest.mark.parametrize(
    ("space", "search", "expected"),
    [
        ("{epochs: [4, 9]}", "{}", 9),
        ("{}", "{}", 12),
        ("{}", "{undeclared: fix}", 5),
    ],
)
def test_most_epochs(space, search, expected):
    """The most epochs are the space's, else the code's own: its range, or its default where it is fixed."""
    asked = (HyperparameterRequest("epochs", "int", 5, low=2, high=12),)
    assert compute_most_epochs(own(space, search=search), asked) == expected
    assert compute_most_epochs(own(), ()) == 30


def test_most_epochs_of_a_family():
    """Others are small for its sake, and where a condition does not hold a trial has the family's default."""
    family = "study: it\ndata: {source: d.csv, target: y}\nmodel: mlp\nspace: "
    units, epochs = "units: {type: int, low: 8, high: 64}", "epochs: {type: int, low: 5, high: 80}"
    bound = study_of(f"{family}{{{units}, {epochs}, constraints: [units * epochs <= 400]}}\n")
    assert compute_most_epochs(bound) == 50
    at_times = study_of(f"{family}{{optimizer: [sgd, adam], epochs: {{value: 8, when: {{optimizer: sgd}}}}}}\n")
    assert compute_most_epochs(at_times) == 30


def search_of(study, storage, asked=(UNITS, RATE, KIND)):
    return OptunaSearch(
        storage,
        "it",
        SearchSettings(
            study.space,
            Objective("val_loss", "minimize"),
            study.spec.search,
            epochs=3,
            initial_space=select_initial_values(study, asked),
            undeclared=find_undeclared(asked, study.space.parameters),
            draws_on_request=True,
        ),
    )


@pytest.fixture
def storage(tmp_path):
    with Store.open(tmp_path) as store:
        yield store.open_optuna_storage()


def test_the_first_trial_has_the_defaults(storage):
    """Declared and undeclared defaults make one point; the space's own goes before the code's."""
    study = own("{units: {type: int, low: 8, high: 64, default: 48}, epochs: 2}")
    search = search_of(study, storage)
    number, values = search.ask()
    assert values == {"epochs": 2}
    assert [search.suggest_value(number, each) for each in (UNITS, RATE, KIND)] == [48, pytest.approx(0.01), "a"]


def test_a_declared_range_replaces_the_code_s(storage):
    """The space's values are given, not the code's, and no parameter exists that was not asked for."""
    search = search_of(own("{units: [100, 200], rate: 0.5}"), storage)
    for _ in range(2):
        number, _ = search.ask()
        assert search.suggest_value(number, UNITS) in (100, 200)
        assert search.suggest_value(number, RATE) == 0.5
        search.tell(TrialSummary(number, "complete", 1.0, {}))
    study = optuna.load_study(study_name="it", storage=storage)
    assert {name for trial in study.trials for name in trial.params} == {"units"}


def test_a_trial_that_was_cut_off_gets_the_same_values(storage):
    """Another supervisor answers a trial's questions as the first did, whatever was drawn since."""
    study = own("{units: [8, 16, 24, 32]}")
    other = HyperparameterRequest("kind", "choice", "x", choices=("x", "y", "z"))
    first = search_of(study, storage)
    before = {}
    for _ in range(6):
        number, _ = first.ask()
        before[number] = [first.suggest_value(number, each) for each in (UNITS, RATE, other, KIND)]
    numbers = sorted(before)
    again = search_of(study, storage)
    cut_off = dict(again.resume_interrupted())
    assert sorted(cut_off) == numbers
    after = {
        number: [again.suggest_value(number, each) for each in (UNITS, RATE, other, KIND)]
        for number in reversed(numbers)
    }
    assert after == before


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("model: modle.py:build", "study.yaml:3:8: model: there is no file modle.py; did you mean"),
        ("model: model:build", 'study.yaml:3:8: model: expected "file.py:function", got "model:build"'),
        ("model: model.py:build\ntraining: {loss: mse}", "training.loss: a user model trains with the loss"),
        ("model: model.py:build\ntraining: {metrics: [auc]}", "training.metrics: a user model"),
        ("model: model.py:build\ntraining: {weighted_metrics: [auc]}", "training.weighted_metrics: a user model"),
        ("model: model.py:build\nobjective: {metric: my_own}", "add direction: minimize or maximize"),
        ("model: model.py:build\nsearch: {undeclared: drop}", "search.undeclared: expected"),
    ],
)
def test_study_files_of_own_models(tmp_path, lines, expected):
    """What does not go with a model of the study's own is told with its place, without running its code."""
    (tmp_path / "model.py").write_text("raise SystemExit")
    (tmp_path / "study.yaml").write_text(f"study: it\ndata: {{source: d.csv}}\n{lines}\n")
    with pytest.raises(InputError) as caught:
        load_study(tmp_path / "study.yaml")
    assert expected in str(caught.value)


def test_the_objective_of_an_own_model():
    """It is the declared one, whatever its name, and the validation loss where none is declared."""
    assert own().resolve_objective("binary") == Objective("val_loss", "minimize")
    declared = own(objective="{metric: val_accuracy}").resolve_objective("regression")
    assert declared == Objective("val_accuracy", "maximize")
    mine = own(objective="{metric: mine, direction: maximize}").resolve_objective("binary")
    assert mine == Objective("mine", "maximize")


def test_changed_code_is_another_study(tmp_path):
    """A study goes on with the code that it began with only."""
    (tmp_path / "study.yaml").write_text("study: it\ndata: {source: d.csv}\nmodel: model.py:build\n")
    identities = []
    for text in ("def build(hp): ...\n", "def build(hp): ...\n", "def build(hp): pass\n"):
        (tmp_path / "model.py").write_text(text)
        identities.append(load_study(tmp_path / "study.yaml").compute_fingerprint())
    assert identities[0] == identities[1] != identities[2]
