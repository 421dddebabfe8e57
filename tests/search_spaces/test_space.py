"""Spaces: order, activity, starting points, and what parameters cannot be together."""

from __future__ import annotations

import pickle

import pytest

from search_spaces.conditions import Condition
from search_spaces.errors import InputError
from search_spaces.space import Categorical, Constraint, Fixed, Float, Int, Space


def when(parent, *values):
    return Condition(parent, "in", values)


OPTIMIZER = Categorical("optimizer", ("sgd", "adam"), default="adam")
MOMENTUM = Float("momentum", 0, 0.99, default=0.9, when=(when("optimizer", "sgd"),))
NESTEROV = Categorical("nesterov", (True, False), default=True, when=(Condition("momentum", ">", (0.5,)),))
DEPTH = Int("depth", 1, 3)


def faults(*parameters, **others):
    with pytest.raises(InputError) as caught:
        Space(parameters, **others)
    return [str(problem) for problem in caught.value.problems]


def test_parents_come_first():
    """Parameters keep the order given, but children stand behind their parents."""
    assert Space((NESTEROV, DEPTH, MOMENTUM, OPTIMIZER)).names == ("depth", "optimizer", "momentum", "nesterov")


def test_only_active_parameters_exist():
    """A parameter exists where its conditions hold and its parents exist, whatever values are given for them."""
    space = Space((OPTIMIZER, MOMENTUM, NESTEROV))
    assert space.find_active({"optimizer": "sgd", "momentum": 0.9}) == ("optimizer", "momentum", "nesterov")
    assert space.find_active({"optimizer": "sgd", "momentum": 0.1}) == ("optimizer", "momentum")
    assert space.find_active({"optimizer": "adam", "momentum": 0.9}) == ("optimizer",)


def test_fixed_parents_count():
    """A fixed parameter is a parent like any other."""
    space = Space((Fixed("clip", "norm"), Float("threshold", 0, 1, when=(when("clip", "norm"),))))
    assert space.find_active({}) == ("clip", "threshold")


def test_defaults_together():
    """The defaults that are active together make a point; what has none, and what depends on it, is left out."""
    plain = Int("units", 1, 9, when=(Condition("depth", ">=", (1,)),))
    space = Space((OPTIMIZER, MOMENTUM, DEPTH, plain, Fixed("epochs", 5)))
    assert space.make_defaults() == {"optimizer": "adam", "epochs": 5}


def test_no_default_no_point():
    """Fixed values alone are nothing to try first."""
    assert Space((DEPTH, Fixed("epochs", 5))).list_points() == ()


def test_points_are_completed():
    """A known point takes defaults for what it leaves out, and what it makes inactive goes."""
    space = Space((OPTIMIZER, MOMENTUM, DEPTH), start_from=({"optimizer": "sgd", "depth": 2}, {"momentum": 0.1}))
    assert space.list_points() == (
        {"optimizer": "adam"},
        {"optimizer": "sgd", "momentum": 0.9, "depth": 2},
    )


def test_a_value_waits_for_a_parent_that_is_drawn():
    """Where the drawn parent makes it exist, the point's value holds; what hangs on it has no default yet."""
    drawn = Categorical("optimizer", ("sgd", "adam"))
    space = Space((drawn, MOMENTUM, NESTEROV, DEPTH), start_from=({"momentum": 0.6, "depth": 2},))
    assert space.list_points() == ({"momentum": 0.6, "depth": 2},)


def test_points_that_break_a_constraint_with_their_defaults_are_not_tried():
    """What a point leaves out has its default, so the point as a whole counts."""
    one, two = Int("one", 1, 9), Int("two", 1, 9, default=5)
    space = Space((one, two), (Constraint("two <= one"),), ({"one": 3}, {"one": 7}))
    assert space.list_points() == ({"two": 5}, {"one": 7, "two": 5})


def test_defaults_that_break_a_constraint_are_not_tried():
    """The first trial is not thrown away on defaults that a constraint refuses."""
    one, two = Int("one", 1, 9, default=1), Int("two", 1, 9, default=2)
    space = Space((one, two), (Constraint("two <= one"),), ({"one": 3},))
    assert space.list_points() == ({"one": 3, "two": 2},)


def test_broken_constraints_are_named():
    """The constraints that values break are returned as they were written."""
    space = Space((DEPTH, OPTIMIZER), (Constraint("depth < 3"), Constraint("depth > 0")))
    assert space.find_violations({"depth": 3, "optimizer": "adam"}) == ("depth < 3",)


def test_a_space_can_be_sent_and_compared():
    """Spaces survive pickling and compare by value."""
    space = Space((OPTIMIZER, MOMENTUM), (Constraint("momentum < 0.9"),), ({"optimizer": "sgd"},))
    assert space.find_violations({"momentum": 0.95}) == ("momentum < 0.9",)
    assert pickle.loads(pickle.dumps(space)) == space
    assert space != Space((OPTIMIZER, MOMENTUM))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ((DEPTH, DEPTH), "depth: two parameters have this name; rename or drop one"),
        (
            (DEPTH, Fixed("x", 1, (when("dept", 1),))),
            'x.when.dept: there is no parameter "dept" to depend on; did you mean "depth"? The choices are: depth, x',
        ),
        (
            (Fixed("u_1", 1), Fixed("x", 1, (when("u", 1),))),
            'x.when.u: there is no parameter "u" to depend on; "u_1" is the first of its layers',
        ),
        (
            (OPTIMIZER, Fixed("x", 1, (when("optimizer", "sdg"),))),
            'x.when.optimizer: can never hold: optimizer is never the text "sdg"; '
            'did you mean "sgd"? The choices are: adam, sgd',
        ),
        (
            (DEPTH, Fixed("x", 1, (when("depth", 4),))),
            "x.when.depth: can never hold: depth is never 4, it goes from 1 to 3",
        ),
        (
            (Categorical("on", (True, False)), Fixed("x", 1, (when("on", "yes"),))),
            'x.when.on: can never hold: on is never the text "yes"; write true',
        ),
        (
            (OPTIMIZER, Fixed("x", 1, (Condition("optimizer", ">", (1,)),))),
            "x.when.optimizer: `>` compares numbers, and the values of optimizer are: sgd, adam",
        ),
        (
            (DEPTH, Fixed("x", 1, (Condition("depth", ">", (3,)),))),
            "x.when.depth: can never be active: its conditions and those of its parents cannot all hold (depth > 3)",
        ),
        (
            (
                OPTIMIZER,
                MOMENTUM,
                Fixed("x", 1, (Condition("momentum", ">", (0,)), when("optimizer", "adam"))),
            ),
            "x.when.optimizer: can never be active: its conditions and those of its parents cannot all hold "
            "(optimizer is adam)",
        ),
        (
            (
                OPTIMIZER,
                MOMENTUM,
                Fixed("beta", 0.9, (when("optimizer", "adam"),)),
                Fixed("x", 1, (Condition("momentum", ">", (0,)), when("beta", 0.9))),
            ),
            "x.when.momentum: can never be active: its conditions and those of its parents cannot all hold "
            "(optimizer is adam)",
        ),
        (
            (Fixed("a", 1, (when("b", 1),)), Fixed("b", 1, (when("c", 1),)), Fixed("c", 1, (when("a", 1),))),
            "a.when.b: the conditions go in a circle: a needs b needs c needs a; remove one of them",
        ),
        (
            (Fixed("a", 1, (when("a", 1),)),),
            "a.when.a: the conditions go in a circle: a needs a; remove one of them",
        ),
    ],
)
def test_parameters_that_do_not_go_together(parameters, message):
    """Names are unique, parents exist, their values can occur, and no condition is impossible."""
    assert faults(*parameters) == [message]


def test_too_many_parameters():
    """A space has an end."""
    assert faults(*(Fixed(f"x{number}", 1) for number in range(501))) == [
        "expected at most 500 parameters, layers counted one by one; got more"
    ]


@pytest.mark.parametrize(
    ("point", "message"),
    [
        ({}, "start_from[0]: expected a mapping of parameters to values, got a mapping"),
        ({"dept": 1}, 'start_from[0].dept: there is no parameter "dept"; did you mean "depth"?'),
        ({"depth": 9}, "start_from[0].depth: expected a value from 1 to 3, got 9"),
        ({"depth": True}, "start_from[0].depth: expected a whole number, got true"),
        (
            {"optimizer": "adam", "momentum": 0.5},
            "start_from[0].momentum: does not exist here: it needs optimizer is sgd; remove it from the point",
        ),
        ({"depth": 3}, "start_from[0]: the point breaks the constraint depth < 3"),
    ],
)
def test_known_points_must_be_points(point, message):
    """A known point names parameters, gives them values they take, only where they exist, and keeps constraints."""
    (reported,) = faults(OPTIMIZER, MOMENTUM, DEPTH, constraints=(Constraint("depth < 3"),), start_from=(point,))
    assert reported.startswith(message)


def test_constraints_and_points_are_checked_along_with_conditions():
    """What is wrong in different parts of a space is reported at once."""
    fixed = Fixed("x", 1, (when("y", 1),))
    reported = faults(DEPTH, fixed, constraints=(Constraint("z < 1"),), start_from=({"depth": 9},))
    assert [fault.split(":")[0] for fault in reported] == ["x.when.y", "constraints[0]", "start_from[0].depth"]
