"""Undeclared hyperparameters of a hypermodel get values from Optuna by KerasTuner's rules."""

from __future__ import annotations

import math

import keras_tuner
import optuna
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from search_spaces.hypermodel_request import make_request
from search_spaces.hyperparameters import TrialHyperParameters
from search_spaces.request_draws import make_optuna_defaults, suggest_value

optuna.logging.set_verbosity(optuna.logging.WARNING)


class Asker:
    """A study of Optuna's that answers hypermodels."""

    def __init__(self, sampler=None) -> None:
        self.study = optuna.create_study(sampler=sampler or optuna.samplers.RandomSampler(seed=0))
        self.known = {}

    def hp(self, trial=None):
        """Return hyperparameters of one trial."""
        trial = trial or self.study.ask()
        return TrialHyperParameters({}, lambda each: suggest_value(make_request(each), trial, self.known))

    def first(self, *hyperparameters):
        """Return the hyperparameters of a first trial, which takes the defaults."""
        requests = [make_request(each) for each in hyperparameters]
        self.study.enqueue_trial(make_optuna_defaults(requests, self.known))
        return self.hp()


@pytest.fixture
def asker():
    return Asker()


def test_values_and_space(asker):
    """Requests are in `values` and in `space`, `get` finds it, and a copy has both."""
    hp = asker.hp()
    assert hp.values == {}
    assert hp.space == []
    chosen = hp.Choice("choice", [1, 2, 3], default=2)
    assert hp.values == {"choice": chosen}
    assert [each.name for each in hp.space] == ["choice"]
    hp.values["choice"] = 3
    copied = hp.copy()
    assert (copied.get("choice"), len(copied.space)) == (3, 1)
    with pytest.raises(KeyError, match="does not exist"):
        copied.get("wrong")


def test_name_scopes(asker):
    """Scopes are part of a name, so one name means different parameters in different scopes."""
    trial = asker.study.ask()
    hp = asker.hp(trial)
    hp.Choice("choice", [1, 2, 3])
    with hp.name_scope("outer"):
        hp.Choice("choice", [4, 5, 6])
        with hp.name_scope("inner"):
            hp.Choice("choice", [7, 8, 9])
        hp.Int("range", 0, 10)
    assert list(hp.values) == ["choice", "outer/choice", "outer/inner/choice", "outer/range"]
    assert trial.params == hp.values


def test_parent_name(asker):
    """Of two parameters of one name only the one whose parent has its value is requested; the other is None."""
    for _ in range(20):
        trial = asker.study.ask()
        hp = asker.hp(trial)
        a = hp.Choice("a", [1, 2, 3])
        b1 = hp.Int("b", 0, 10, parent_name="a", parent_values=1)
        b2 = hp.Int("b", 50, 100, parent_name="a", parent_values=2)
        assert (b1 is None, b2 is None) == (a != 1, a != 2)
        assert ("b" in hp.values) == (a in (1, 2)) == ("b" in trial.params)


def test_one_name_with_other_choices(asker):
    """A name may have other choices under another condition, which one study of Optuna's refuses."""
    for _ in range(20):
        hp = asker.hp()
        choice = hp.Choice("choice", [1, 2, 3])
        with hp.conditional_scope("choice", [1, 3]):
            first = hp.Choice("child", [4, 5, 6])
        with hp.conditional_scope("choice", 2):
            second = hp.Choice("child", [7, 8, 9])
        assert (
            (first in (4, 5, 6), second) == (True, None)
            if choice != 2
            else (first, second in (7, 8, 9)) == (None, True)
        )
        assert hp.get("child") in ((4, 5, 6) if choice != 2 else (7, 8, 9))
    names = {name for trial in asker.study.trials for name in trial.params}
    assert names == {"choice", "child", "child#2"}


def test_nested_conditions_and_scopes(asker):
    """A parameter exists only where all of the conditions around it hold."""
    for _ in range(30):
        hp = asker.hp()
        a = hp.Choice("a", [1, 2, 3])
        with hp.conditional_scope("a", [1, 3]):
            b = hp.Choice("b", [4, 5])
            with hp.conditional_scope("b", 5):
                c = hp.Choice("c", [7, 8])
                with hp.name_scope("d"):
                    e = hp.Choice("e", [10, 11])
        active = {"a", *(("b",) if a != 2 else ()), *(("c", "d/e") if b == 5 else ())}
        assert set(hp.values) == active
        assert (c is None) == (e is None) == (b != 5)


def test_reading_a_value_within_scopes(asker):
    """`get` gives the value of the active parameter of a name, and refuses one that is not active."""
    hp = asker.first()
    hp.Fixed("a", 2)
    with hp.conditional_scope("a", 2):
        hp.Fixed("b", 4)
    with hp.conditional_scope("a", 3):
        hp.Fixed("b", 5)
        hp.Float("c", 0, 1)
        with pytest.raises(ValueError, match="currently inactive"):
            hp.get("c")
    assert hp["b"] == 4
    assert "c" not in hp


def test_conditions_on_true_and_false(asker):
    """A condition on a Boolean, and on a choice of true and false, which KerasTuner keeps as 1 and 0."""
    for _ in range(10):
        hp = asker.hp()
        on = hp.Boolean("on")
        kept = hp.Choice("kept", [True, False])
        assert isinstance(on, bool)
        assert kept in (0, 1)
        assert not isinstance(kept, bool)
        assert (hp.Int("a", 1, 2, parent_name="on", parent_values=[True]) is not None) == on
        assert (hp.Int("b", 1, 2, parent_name="kept", parent_values=[True]) is not None) == bool(kept)


def test_populated_values_stay(asker):
    """A value that stands in `values` is the value of a request."""
    hp = asker.hp()
    hp.values["name"] = "populated"
    assert hp.Choice("name", ["populated", "default"], default="default") == "populated"


def test_merge_takes_active_ones_alone(asker):
    """Merged in, only what is active has a value."""
    other = keras_tuner.HyperParameters()
    other.Choice("a", [1, 2, 3], default=3)
    with other.conditional_scope("a", 2):
        other.Fixed("b", 4)
    hp = asker.first(*other.space)
    hp.merge(other)
    assert hp.values.keys() == {"a"}


def test_steps_on_a_logarithmic_scale(asker):
    """With a step, log multiplies and reverse_log counts down from the top; the last step ends within the range."""
    log, reverse = set(), set()
    for _ in range(60):
        hp = asker.hp()
        log.add(hp.Int("log", 2, 40, step=2, sampling="log"))
        reverse.add(hp.Float("reverse", 1, 100, step=10, sampling="reverse_log"))
    assert log == {2, 4, 8, 16, 32}
    assert sorted(reverse) == pytest.approx([1, 91, 100])
    assert {name for trial in asker.study.trials for name in trial.params} == {"log#idx", "reverse#idx"}


def test_reverse_log_leans_to_the_top(asker):
    """Of a reverse logarithmic range from 1 to 1000 nine tenths lie above 500, of a logarithmic one less than half."""
    drawn = [
        (hp.Float("r", 1, 1000, sampling="reverse_log"), hp.Float("l", 1, 1000, sampling="log")) for hp in hps(asker)
    ]
    reverse, log = ([value > 500 for value in values] for values in zip(*drawn, strict=True))
    assert sum(reverse) / len(reverse) > 0.8
    assert sum(log) / len(log) < 0.3


def hps(asker, count=200):
    return [asker.hp() for _ in range(count)]


def test_fixed_is_no_parameter_of_optunas(asker):
    """A fixed value is given and not searched."""
    trial = asker.study.ask()
    assert asker.hp(trial).Fixed("epochs", 7) == 7
    assert trial.params == {}


def test_defaults_are_tried_first(asker):
    """Enqueued, the defaults are the first trial's values, whatever the scale."""
    hp = keras_tuner.HyperParameters()
    hp.Int("units", 8, 64, step=8, default=24)
    hp.Float("rate", 1e-4, 1e-1, sampling="log", default=1e-2)
    hp.Int("batch", 2, 64, step=2, sampling="log", default=16)
    hp.Float("decay", 1, 10, sampling="reverse_log", default=9.5)
    hp.Choice("kind", ["a", "b", "c"], default="b")
    hp.Boolean("on", default=True)
    first = asker.first(*hp.space)
    assert {each.name: first._retrieve(each) for each in hp.space} == pytest.approx(hp.values)


def test_a_default_that_is_no_value_is_left_out(asker):
    """A default outside of its range or between its steps, or one of two ranges of a name, is not enqueued."""
    hp = keras_tuner.HyperParameters()
    hp.Int("outside", 8, 64, default=100)
    hp.Int("between", 0, 10, step=4, default=3)
    hp.Choice("a", [1, 2], default=2)
    hp.Int("b", 0, 10, parent_name="a", parent_values=1, default=5)
    hp.Int("b", 20, 30, parent_name="a", parent_values=2, default=25)
    assert make_optuna_defaults([make_request(each) for each in hp.space], {}) == {"a": 2}


def test_a_request_to_a_copy_keeps_its_default(asker):
    """So KerasTuner's `tunable=False` works: new requests on a copy are not searched, known values hold."""

    class Untunable(keras_tuner.HyperModel):
        def build(self, hp):
            return hp.Int("known", 0, 100), hp.Int("new", 0, 100, default=42)

    hp = asker.hp()
    known = hp.Int("known", 0, 100)
    assert Untunable(tunable=False).build(hp) == (known, 42)
    assert "new" not in hp.values


def test_a_repeated_request_has_the_same_value():
    """A trial that starts again in another process gets the same values."""
    storage = optuna.storages.InMemoryStorage()
    study = optuna.create_study(storage=storage, study_name="it")
    trial = study.ask()

    def build(hp):
        hp.Int("units", 1, 1000)
        hp.Choice("kind", ["a", "b"], parent_name="units", parent_values=list(range(500)))
        hp.Choice("kind", ["c", "d"], parent_name="units", parent_values=list(range(500, 1001)))
        hp.Int("size", 1, 64, step=2, sampling="log")
        return hp.values

    known = {}
    first = build(TrialHyperParameters({}, lambda each: suggest_value(make_request(each), trial, known)))
    again = optuna.Trial(optuna.load_study(study_name="it", storage=storage), trial._trial_id)
    known_again = dict(study.trials[0].distributions)
    second = build(TrialHyperParameters({}, lambda each: suggest_value(make_request(each), again, known_again)))
    assert first == second


@pytest.mark.parametrize(
    ("low", "high", "step"), [(0.0, 1.0, 1 / 7), (6.3, 4740.5, 591.7757010299707), (1e9, 1e9 + 1, 0.5)]
)
def test_steps_of_many_digits(asker, low, high, step, recwarn):
    """All steps up to the last are drawn, and Optuna has nothing to correct."""
    drawn = {asker.hp().Float("x", low, high, step=step) for _ in range(80)}
    assert sorted(drawn) == pytest.approx([low + index * step for index in range(round((high - low) // step) + 1)])
    assert not recwarn.list


def test_factors_are_free_of_rounding(asker):
    """Powers of ten are the numbers that one would write."""
    drawn = {asker.hp().Float("x", 1e-6, 1e-2, step=10, sampling="log") for _ in range(60)}
    assert drawn == {1e-6, 1e-5, 1e-4, 1e-3, 1e-2}


numbers = st.floats(1e-3, 1e3, allow_nan=False).map(lambda value: float(f"{value:.4g}"))


@st.composite
def declarations(draw):
    """Return a list of calls on `hp`: kind, name, arguments, and a parent with the values that it must have."""
    calls = []
    parents = []
    for index in range(draw(st.integers(1, 8))):
        kind = draw(st.sampled_from(["Int", "Float", "Choice", "Boolean", "Fixed"]))
        arguments = draw(arguments_of(kind))
        parent = draw(st.sampled_from([None, *parents])) if parents else None
        values = draw(st.lists(st.sampled_from(parent[1]), min_size=1, unique=True)) if parent else None
        calls.append((kind, f"p{index}", arguments, parent[0] if parent else None, values))
        if kind in ("Choice", "Boolean") and parent is None:  # KerasTuner nests conditions by scopes alone
            parents.append((f"p{index}", arguments["values"] if kind == "Choice" else [True, False]))
    return calls


@st.composite
def arguments_of(draw, kind):
    if kind == "Boolean":
        return {}
    if kind == "Fixed":
        return {"value": draw(st.one_of(st.integers(-5, 5), st.sampled_from(["a", True]), numbers))}
    if kind == "Choice":
        some = st.one_of(
            st.lists(st.integers(-9, 9), min_size=1, max_size=4, unique=True),
            st.lists(st.sampled_from("abcd"), min_size=1, max_size=4, unique=True),
            st.lists(numbers, min_size=1, max_size=4, unique=True),
        )
        return {"values": draw(some)}
    low, high = sorted(
        draw(st.tuples(st.integers(1, 500), st.integers(1, 500)) if kind == "Int" else st.tuples(numbers, numbers))
    )
    sampling = draw(st.sampled_from(["linear", "log", "reverse_log"]))
    step = draw(st.none() | (st.integers(2, 5) if kind == "Int" or sampling != "linear" else st.just(0.5)))
    return {"min_value": low, "max_value": high, "sampling": sampling, "step": step}


def ask(hp, calls):
    """Return the answers to the calls by name; for an inactive one None."""
    return {
        name: getattr(hp, kind)(name, **arguments, parent_name=parent, parent_values=values)
        for kind, name, arguments, parent, values in calls
    }


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(declarations(), st.integers(0, 2**16))
def test_random_hypermodels(calls, seed):
    """Whatever a hypermodel declares, answers lie inside, conditions hold, and the same trial answers the same."""
    asker = Asker(optuna.samplers.RandomSampler(seed=seed))
    for _ in range(3):
        trial = asker.study.ask()
        answers = ask(asker.hp(trial), calls)
        assert ask(asker.hp(trial), calls) == answers
        for kind, name, arguments, parent, values in calls:
            active = parent is None or answers[parent] in values
            assert (answers[name] is not None) == active
            if active:
                assert_inside(kind, arguments, answers[name])
        asker.study.tell(trial, 0.0)


def assert_inside(kind, arguments, value):
    if kind in ("Int", "Float"):
        assert isinstance(value, int if kind == "Int" else float)
        low, high, step = arguments["min_value"], arguments["max_value"], arguments["step"]
        assert low <= value <= high
        if step and arguments["sampling"] == "linear":
            steps = (value - low) / step
            assert math.isclose(steps, round(steps), abs_tol=1e-6)
    elif kind == "Choice":
        assert value in arguments["values"]
    elif kind == "Boolean":
        assert isinstance(value, bool)
    else:
        assert value == arguments["value"]
