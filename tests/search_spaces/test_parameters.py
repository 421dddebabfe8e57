"""The four kinds of parameter: what they contain, and what cannot be one."""

from __future__ import annotations

import math
import pickle

import pytest

from search_spaces.conditions import Condition
from search_spaces.errors import InputError
from search_spaces.parameters import Categorical, Fixed, Float, Int, can_hold, find_value_fault


@pytest.mark.parametrize(
    ("parameter", "inside", "outside"),
    [
        (Float("x", 0, 1), [0, 0.5, 1, 1.0], [-0.1, 1.1, True, "0.5", None, math.nan]),
        (Float("x", 0, 1, step=0.3), [0.0, 0.3, 0.6, 0.9, 0.1 * 3], [1.0, 0.31]),
        (Float("x", 1e-5, 1, log=True, step=10), [1e-5, 1e-4, 0.001, 0.1, 1.0], [0.5, 2e-5]),
        (Int("x", 1, 5), [1, 3, 5], [0, 6, 3.0, True, "3"]),
        (Int("x", 1, 10, step=4), [1, 5, 9], [10, 2]),
        (Int("x", 2, 40, log=True, step=2), [2, 4, 32], [40, 6, 3]),
        (Categorical("x", ("a", 1, None, False)), ["a", 1, 1.0, None, False], ["b", 0, True]),
        (Fixed("x", 0), [0, 0.0], [False, None, 1]),
    ],
)
def test_a_parameter_knows_its_values(parameter, inside, outside):
    """Bounds are included, steps are counted from low, and true is not 1."""
    assert [value for value in inside if not parameter.contains(value)] == []
    assert [value for value in outside if parameter.contains(value)] == []


@pytest.mark.parametrize(
    ("parameter", "bounds"),
    [
        (Float("x", 0, 1, step=0.3), (0.0, 0.9)),
        (Float("x", 1e-3, 5, log=True, step=10), (1e-3, 1.0)),
        (Int("x", 1, 10, step=4), (1, 9)),
        (Int("x", 2, 40, log=True, step=2), (2, 32)),
        (Categorical("x", ("a", "b")), ("a", "b")),
        (Fixed("x", 3), (3,)),
    ],
)
def test_bounds_are_values(parameter, bounds):
    """The bounds are values that the parameter takes: the last step, not a high that no step reaches."""
    assert parameter.bounds == bounds


def test_steps_do_not_gather_rounding_errors():
    """A step of 0.1 gives 0.3 and not 0.30000000000000004."""
    assert Float("x", 0, 1, step=0.1).spread(11) == (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
    assert Float("x", 1e-5, 1, log=True, step=10).spread(6) == (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)


@pytest.mark.parametrize(
    ("parameter", "points", "values"),
    [
        (Float("x", 0, 1), 3, (0.0, 0.5, 1.0)),
        (Float("x", 1e-4, 1, log=True), 3, (1e-4, pytest.approx(1e-2), 1.0)),
        (Int("x", 1, 3), 5, (1, 2, 3)),
        (Int("x", 0, 100), 3, (0, 50, 100)),
        (Int("x", 1, 100, log=True), 3, (1, 10, 100)),
        (Int("x", 1, 3, log=True), 9, (1, 2, 3)),
    ],
)
def test_values_are_spread_on_their_own_scale(parameter, points, values):
    """A few values reach from end to end, evenly on the scale that is searched, none twice."""
    assert parameter.spread(points) == values


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Float("x", 1, 0), "x: low < high must hold, got low=1, high=0; swap them"),
        (lambda: Float("x", 1, 1), "x: low < high must hold, got low=1, high=1; write `x: 1` for a fixed value"),
        (lambda: Float("x", math.nan, 1), "x.low: expected a finite number, got nan"),
        (lambda: Float("x", 0, math.inf), "x.high: expected a finite number, got inf"),
        (lambda: Float("x", 0, 10**400), "x.high: expected a number between -1e+150 and 1e+150"),
        (lambda: Float("x", "1e-4", 1), 'x.low: expected a number, got the text "1e-4"; remove the quotes'),
        (lambda: Float("x", "1_0", 1), 'x.low: expected a number, got the text "1_0"; remove the underscores'),
        (lambda: Float("x", True, 2), "x.low: expected a number, got true"),
        (lambda: Float("x", 0, 1, log=True), "x.low: log needs low > 0, got low=0; raise low, or remove log"),
        (lambda: Float("x", 1e-200, 1, log=True), "x.low: expected low of at least 1e-150, got 1e-200"),
        (lambda: Float("x", 0, 1, log="yes"), 'x.log: expected true or false, got the text "yes"; write true or false'),
        (lambda: Float("x", 0, 1, step=0), "x.step: expected a step above 0, got 0"),
        (lambda: Float("x", 0, 1, step=2), "x.step: the step is larger than the range: 0 + 2 > 1"),
        (
            lambda: Float("x", 0, 1, step=1e-30),
            f"x.step: the step is too small for the range: more than {2**53} steps from 0 to 1",
        ),
        (
            lambda: Float("x", 1, 9, log=True, step=1),
            "x.step: with log the step multiplies: expected a step above 1, got 1",
        ),
        (lambda: Float("x", 1, 9, log=True, step=10), "x.step: the step is larger than the range: 1 x 10 > 9"),
        (
            lambda: Float("x", 0, 1, default=2),
            "x.default: the default is outside of the range: expected a value from 0.0 to 1.0, got 2.0",
        ),
        (
            lambda: Int("x", 0, 9, step=5, default=4),
            "x.default: the default is outside of the range: expected a value from 0 to 5 in steps of 5, got 4; "
            "the nearest are 0 and 5",
        ),
        (lambda: Int("x", 1, 2.5), "x.high: expected a whole number, got 2.5; use `type: float` for fractions"),
        (lambda: Int("x", 1, 2.0), "x.high: expected a whole number, got 2.0; write 2"),
        (
            lambda: Int("x", 1, 2**53 + 1),
            f"x.high: expected a whole number of at most 2**53 ({2**53}), beyond which not all are distinct",
        ),
        (lambda: Categorical("x", ()), "x.choices: expected at least one choice, got an empty list"),
        (lambda: Categorical("x", "ab"), 'x.choices: expected a list of choices, got the text "ab"'),
        (lambda: Categorical("x", ("a", "a")), "x.choices[1]: the choice a is there twice; remove one"),
        (lambda: Categorical("x", (1, 1.0)), "x.choices[1]: the choice 1.0 is there twice; remove one"),
        (
            lambda: Categorical("x", (1, True)),
            "x.choices[1]: 1 and true are one choice to Optuna; leave one out",
        ),
        (lambda: Categorical("x", (1, math.nan)), "x.choices[1]: expected a finite number, got nan"),
        (
            lambda: Categorical("x", ([1],)),
            "x.choices[0]: expected text, a number, true, false or null, got a list",
        ),
        (
            lambda: Categorical("x", tuple(range(1001))),
            "x.choices: expected at most 1000 choices, got 1001; use a range",
        ),
        (
            lambda: Categorical("x", ("a", "b"), default="c"),
            'x.default: the default must be one of the choices, got the text "c"; the choices are: a, b',
        ),
        (lambda: Fixed("x", math.inf), "x.value: expected a finite number, got inf"),
        (lambda: Fixed("extends", 1), 'extends: "extends" is a key of the space itself and cannot name a parameter'),
        (
            lambda: Fixed("a#b", 1),
            "a#b: expected up to 100 letters, digits and _ (between them also . / : - and spaces) as a name, "
            'got the text "a#b"',
        ),
        (
            lambda: Fixed("x", 1, when=(Condition("a", ">", (1,)), Condition("a", ">", (2,)))),
            'x.when.a: expected each comparison once, got ">" twice',
        ),
    ],
)
def test_what_cannot_be_is_refused(make, message):
    """A parameter that cannot be is refused when it is made, with what was expected and got."""
    with pytest.raises(InputError) as caught:
        make()
    assert str(caught.value) == message


def test_all_faults_are_reported():
    """Every fault of a parameter is reported, not only the first."""
    with pytest.raises(InputError) as caught:
        Float("x", "a", math.nan, log="no")
    assert [problem.path for problem in caught.value.problems] == ["x.low", "x.high", "x.log"]


@pytest.mark.parametrize(
    ("parameter", "tests", "holds"),
    [
        (Int("x", 1, 4), [(">=", 4)], True),
        (Int("x", 1, 4), [(">", 4)], False),
        (Int("x", 1, 4), [(">", 2), ("<", 3)], False),
        (Int("x", 1, 9, step=4), [(">", 5), ("<", 9)], False),
        (Float("x", 0, 1), [(">", 0.2), ("<", 0.3)], True),
        (Float("x", 0, 1), [(">", 0), ("<", 1e-9)], True),
        (Float("x", 0, 1, step=0.5), [(">", 0.5), ("<", 1)], False),
        (Float("x", 1, 1000, log=True, step=10), [(">", 10), ("<", 100)], False),
        (Float("x", 1, 1000, log=True, step=10), [(">", 10), ("<=", 100)], True),
        (Categorical("x", (1, 5)), [(">", 1), ("<", 5)], False),
        (Fixed("x", 3), [(">=", 3)], True),
    ],
)
def test_conditions_that_cannot_hold_together_are_found(parameter, tests, holds):
    """Whether some value passes all comparisons takes the steps of a range into account."""
    conditions = [Condition("x", operator, (number,)) for operator, number in tests]
    assert can_hold(parameter, conditions) is holds


def test_why_a_value_does_not_fit():
    """The reason why a parameter cannot take a value is in the terms of its kind."""
    assert find_value_fault(Float("x", 0, 1), 0.5) is None
    assert find_value_fault(Int("x", 0, 9), 0.5) == "expected a whole number, got 0.5; use `type: float` for fractions"
    choices = Categorical("x", ("relu", "tanh"))
    assert find_value_fault(choices, "rely") == (
        'x cannot be the text "rely"; did you mean "relu"? The choices are: relu, tanh'
    )


def test_parameters_can_be_sent():
    """Parameters survive pickling, compare by value and cannot be changed."""
    parameter = Float("x", 0, 1, when=(Condition("a", "in", ("b",)),))
    assert pickle.loads(pickle.dumps(parameter)) == parameter
    with pytest.raises(AttributeError):
        parameter.low = 2


@pytest.mark.parametrize(
    ("parameter", "values"),
    [
        (lambda: Float("x", 0.2, 0.3, step=0.1), (0.2, 0.3)),
        (lambda: Float("x", 0.1, 0.3, log=True, step=3), (0.1, 0.3)),
    ],
)
def test_a_range_of_a_single_step_is_no_smaller_than_it(parameter, values):
    """Steps are counted in the digits that are written, where 0.3 - 0.2 is 0.1 and 0.3 / 0.1 is 3."""
    assert parameter().spread(9) == values
