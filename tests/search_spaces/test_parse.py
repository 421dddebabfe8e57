"""From a study file's `space` to a Space: the short and full forms, repeats, and every error with its place."""

from __future__ import annotations

import pytest

from search_spaces.conditions import Condition
from search_spaces.errors import InputError
from search_spaces.parse import parse_space, parse_space_dict
from search_spaces.space import Categorical, Fixed, Float, Int, Space
from search_spaces.yaml_reader import parse_document
from search_spaces.yaml_writer import to_yaml


def parsed(text, **others):
    return parse_space(parse_document(text, "s.yaml"), **others)


def problems(text):
    with pytest.raises(InputError) as caught:
        parsed(text)
    return [str(problem) for problem in caught.value.problems]


def space_with(*lines):
    return "space:\n" + "".join(f"  {line}\n" for line in lines)


def test_every_form_is_read():
    """A list is a categorical, a single value is fixed, and a mapping names its type."""
    space = parsed(
        space_with(
            "rate: {type: float, low: 1e-4, high: 1, log: true, default: 0.01}",
            "units: {type: int, low: 8, high: 64, step: 8}",
            "size: {type: int, low: 1, high: 8, log: true, step: 2}",
            "activation: [relu, null, 3, true]",
            "pooling: {choices: [max, average], default: max}",
            "epochs: 20",
            "clip: {value: null}",
            "momentum: {type: float, low: 0, high: 1, when: {activation: relu, units: '>= 16'}}",
        )
    )
    assert space.declared == (
        Float("rate", 1e-4, 1, log=True, default=0.01),
        Int("units", 8, 64, step=8),
        Int("size", 1, 8, log=True, step=2),
        Categorical("activation", ("relu", None, 3, True)),
        Categorical("pooling", ("max", "average"), default="max"),
        Fixed("epochs", 20),
        Fixed("clip", None),
        Float(
            "momentum",
            0,
            1,
            when=(Condition("activation", "in", ("relu",)), Condition("units", ">=", (16,))),
        ),
    )


def test_constraints_and_points_are_read():
    """Constraints and known points stand in the space beside its parameters."""
    space = parsed(space_with("a: [1, 2]", "b: [1, 2]", "constraints: [a <= b]", "start_from: [{a: 1}]"))
    assert [constraint.text for constraint in space.constraints] == ["a <= b"]
    assert space.start_from == ({"a": 1},)


def test_a_repeated_parameter_has_one_for_each_layer():
    """`repeat: depth` makes `units_1` to the greatest depth, each existing where depth reaches it."""
    space = parsed(
        space_with(
            "units: {type: int, low: 8, high: 64, repeat: depth, when: {activation: relu}}",
            "depth: {type: int, low: 0, high: 3}",
            "activation: [relu, tanh]",
        )
    )
    assert space.names == ("depth", "activation", "units_1", "units_2", "units_3")
    assert space.find_active({"depth": 2, "activation": "relu"})[2:] == ("units_1", "units_2")
    assert space.find_active({"depth": 0, "activation": "relu"})[2:] == ()
    assert space.find_active({"depth": 2, "activation": "tanh"})[2:] == ()


def test_a_fixed_or_listed_number_of_layers():
    """The number of layers may be fixed or one of a list of ints."""
    assert parsed(space_with("depth: 2", "units: {choices: [8, 16], repeat: depth}")).names[1:] == (
        "units_1",
        "units_2",
    )
    listed = parsed(space_with("depth: [1, 3]", "units: {value: 8, repeat: depth}"))
    assert listed.names[1:] == ("units_1", "units_2", "units_3")


def test_layers_depend_on_their_own_layer():
    """A repeated parameter's condition on another, repeated alike, is on that of the same layer."""
    space = parsed(
        space_with(
            "depth: {type: int, low: 1, high: 2}",
            "drop_it: {choices: [true, false], repeat: depth}",
            "dropout: {type: float, low: 0, high: 1, repeat: depth, when: {drop_it: true}}",
        )
    )
    values = {"depth": 2, "drop_it_1": False, "drop_it_2": True}
    assert space.find_active(values) == ("depth", "drop_it_1", "drop_it_2", "dropout_2")


def test_a_later_start_of_a_repeat_is_kept():
    """A condition on the number of layers that needs more than the number of the layer holds."""
    space = parsed(
        space_with(
            "depth: {type: int, low: 1, high: 3}",
            "skip: {choices: [true, false], repeat: depth, when: {depth: '>= 2'}}",
        )
    )
    assert space.find_active({"depth": 1}) == ("depth",)
    assert space.find_active({"depth": 2}) == ("depth", "skip_1", "skip_2")


def test_without_a_space_the_familys_holds():
    """A study file without a space gets its model's shipped space; a model without one gets none."""
    for text in ("study: x", "space: {}", "space:"):
        assert "learning_rate" in parsed(text, family_space="mlp").names
        assert parsed(text) == Space()
    assert parsed("space: {epochs: 3}", family_space="mlp").names == ("epochs",)


def test_python_has_the_same_words():
    """Plain data in Python is read as a study file is; its problems have paths and no lines."""
    assert parse_space_dict({"epochs": 3, "units": [8, 16]}) == parsed("space: {epochs: 3, units: [8, 16]}")
    with pytest.raises(InputError) as caught:
        parse_space_dict({"a": {"type": "float", "low": 1, "high": 0}})
    assert str(caught.value) == "a: low < high must hold, got low=1, high=0; swap them"


def test_python_may_say_yes():
    """Text made in Python is meant as text."""
    assert parse_space_dict({"a": ["yes", "no"]}).parameters["a"] == Categorical("a", ("yes", "no"))


def test_quoted_words_are_text():
    """Quotes make `no` the text that it is."""
    assert parsed('space: {a: ["yes", "no"]}').parameters["a"] == Categorical("a", ("yes", "no"))


FLOAT = "type: float, low: 0, high: 1"


@pytest.mark.parametrize(
    ("lines", "reported"),
    [
        (["a: {type: float, low: 2, high: 1}"], "2:3: space.a: low < high must hold, got low=2, high=1; swap them"),
        (
            ["a: {type: float, low: '1e-4', high: 1}"],
            '2:25: space.a.low: expected a number, got the text "1e-4"; remove the quotes',
        ),
        (["a: {type: float, low: .nan, high: 1}"], "2:25: space.a.low: expected a finite number, got nan"),
        (
            ["a: {type: int, low: 1, high: 2.5}"],
            "2:32: space.a.high: expected a whole number, got 2.5; use `type: float` for fractions",
        ),
        (
            [f"a: {{{FLOAT}, log: yes}}"],
            '2:42: space.a.log: expected true or false, got the text "yes"; write true or false',
        ),
        (
            [f"a: {{{FLOAT}, log: true}}"],
            "2:25: space.a.low: log needs low > 0, got low=0; raise low, or remove log",
        ),
        (
            [f"a: {{{FLOAT}, defult: 1}}"],
            '2:37: space.a.defult: unknown key "defult" for a float; did you mean "default"? '
            "The choices are: default, high, log, low, repeat, step, type, when",
        ),
        (
            ["a: {type: float, min: 0, high: 1}"],
            '2:20: space.a.min: unknown key "min" for a float; write "low"',
        ),
        (["a: {type: float, high: 1}"], "2:3: space.a: low missing; a float needs `low` and `high`"),
        (["a: {low: 0, high: 1}"], "2:3: space.a: the type is missing; add `type: float` or `type: int`"),
        (
            ["a: {default: 1}"],
            "2:3: space.a: the type is missing; add `type` (float, int, categorical, fixed), or `choices`",
        ),
        (
            ["a: {type: flaot, low: 0, high: 1}"],
            '2:13: space.a.type: expected one of float, int, categorical, fixed, got the text "flaot"; '
            'did you mean "float"? The choices are: categorical, fixed, float, int',
        ),
        (
            ["a: {type: bool}"],
            '2:13: space.a.type: expected one of float, int, categorical, fixed, got the text "bool"; '
            "write a list, [true, false]",
        ),
        (["a: []"], "2:3: space.a: expected at least one choice, got an empty list"),
        (["a: [1, 2, 1]"], "2:13: space.a[2]: the choice 1 is there twice; remove one"),
        (
            ["a: {choices: [x, [y]]}"],
            "2:20: space.a.choices[1]: expected text, a number, true, false or null, got a list",
        ),
        (
            ["a: [yes, no]"],
            '2:7: space.a[0]: `yes` is text to YAML 1.2; write true, or "yes" in quotes if text is meant',
        ),
        (
            ["a: off"],
            '2:6: space.a: `off` is text to YAML 1.2; write false, or "off" in quotes if text is meant',
        ),
        (
            ["a:"],
            "2:3: space.a: expected a value, a list or a mapping, got nothing; `{value: null}` is a fixed null",
        ),
        (["a: .inf"], "2:6: space.a: expected a finite number, got inf"),
        (
            ["a b?: 1"],
            "2:3: space.a b?: expected up to 100 letters, digits and _ (between them also . / : - and spaces) as a "
            'name, got the text "a b?"',
        ),
        (
            [f"a: {{{FLOAT}, default: 2}}"],
            "2:46: space.a.default: the default is outside of the range: expected a value from 0.0 to 1.0, got 2.0",
        ),
        (
            ["b: [x, y]", "a: {value: 1, when: {c: x}}"],
            '3:27: space.a.when.c: there is no parameter "c" to depend on; the choices are: a, b',
        ),
        (
            ["b: [x, y]", "a: {value: 1, when: {b: [x, z]}}"],
            '3:24: space.a.when.b: can never hold: b is never the text "z"; the choices are: x, y',
        ),
        (
            ["b: [1, 2]", 'a: {value: 1, when: {b: "> 2"}}'],
            "3:27: space.a.when.b: can never be active: its conditions and those of its parents cannot all hold "
            "(b > 2)",
        ),
        (
            ["b: [1, 2]", "a: {value: 1, when: b}"],
            '3:23: space.a.when: expected a mapping such as {optimizer: sgd}, got the text "b"',
        ),
        (
            ["b: [1, 2]", 'a: {value: 1, when: {b: {"=>": 2}}}'],
            '3:34: space.a.when.b.=>: unknown comparison "=>"; did you mean ">"? '
            "The choices are: !=, <, <=, ==, >, >=, in, not in",
        ),
        (
            ["b: {value: 1, when: {a: 1}}", "a: {value: 1, when: {b: 1}}"],
            "2:27: space.b.when.a: the conditions go in a circle: b needs a needs b; remove one of them",
        ),
        (
            ["b: [x, y]", "a: {value: 1, repeat: b}"],
            "3:25: space.a.repeat: expected an int parameter to repeat by, but b is a categorical whose choices are "
            "no ints",
        ),
        (
            ["b: {type: float, low: 1, high: 2}", "a: {value: 1, repeat: b}"],
            "3:25: space.a.repeat: expected an int parameter to repeat by, but b is a float",
        ),
        (
            ["b: 3", "a: {value: 1, repeat: bb}"],
            '3:25: space.a.repeat: expected an int parameter to repeat by, got the text "bb"; '
            'did you mean "b"? The choices are: b',
        ),
        (
            ["b: 3", "a: {value: 1, repeat: 3}"],
            "3:25: space.a.repeat: expected an int parameter to repeat by, got 3; write a name",
        ),
        (
            ["b: 101", "a: {value: 1, repeat: b}"],
            "3:25: space.a.repeat: expected at most 100 layers, but b goes up to 101; lower its high",
        ),
        (
            ["b: 3", "a: {value: 1, repeat: b}", "a_2: 7"],
            '4:3: space.a_2: "a_2" is already made by `repeat` of "a"; rename or drop one',
        ),
        (
            ["a: 1", "constraints: [a < c]"],
            '3:17: space.constraints[0]: there is no parameter "c"; the choices are: a',
        ),
        (
            ["a: 1", "constraints: a < 2"],
            '3:16: space.constraints: expected a list, got the text "a < 2"',
        ),
        (
            ["a: 1", "constraints: [a ** 2 < 2]"],
            "3:17: space.constraints[0]: expected names, numbers, quoted text, + - * /, comparisons, and, or, not; "
            "got `a ** 2`",
        ),
        (
            ["a: [1, 2]", "start_from: [{a: 3}]"],
            "3:20: space.start_from[0].a: a cannot be 3; the choices are: 1, 2",
        ),
        (["a: 1", "start_from: {a: 1}"], "3:3: space.start_from: expected a list, got a mapping"),
        (
            ["a: 1", "drop: [b]"],
            '3:10: space.drop[0]: there is no "b" to drop in what is extended; there are no choices here',
        ),
        (["a: 1", "drop: 3"], "3:9: space.drop: expected names of parameters, got 3"),
        (["a: 1", "extends: [3]"], "3:13: space.extends[0]: expected names of spaces, got 3"),
    ],
)
def test_every_mistake_has_its_place(lines, reported):
    """A mistake is shown once, with file, line, column and key, what was expected and got, and what to do."""
    assert problems(space_with(*lines))[:1] == [f"s.yaml:{reported}"]
    assert len(problems(space_with(*lines))) == (2 if lines == ["a: [yes, no]"] else 1)


def test_a_space_is_a_mapping():
    """What is no mapping is no space."""
    assert problems("space: [1]") == ["s.yaml:1:1: space: expected a mapping of parameters by name, got a list"]
    assert problems("space: []") == ["s.yaml:1:1: space: expected a mapping, got a list"]


def test_all_mistakes_are_reported_in_order():
    """Mistakes of every kind are reported in one go, in the order of the file."""
    reported = problems(
        space_with(
            "a: {type: float, low: 2, high: 1}",
            "b: {value: 1, when: {missing: 1}}",
            "c: []",
            "constraints: [nope < 1, a < 3]",
            "start_from: [{c: 1}, {d: 4}]",
            "d: [1, 2]",
        )
    )
    assert [line.split(": ")[0] + " " + line.split(": ")[1] for line in reported] == [
        "s.yaml:2:3 space.a",
        "s.yaml:3:33 space.b.when.missing",
        "s.yaml:4:3 space.c",
        "s.yaml:5:17 space.constraints[0]",
        "s.yaml:6:28 space.start_from[1].d",
    ]


def test_what_depends_on_a_mistake_is_no_mistake():
    """A parameter, a constraint and a point that need one with a mistake are not reported along with it."""
    reported = problems(
        space_with(
            "a: {type: int, low: 2, high: 1}",
            "b: {value: 1, when: {a: 1}}",
            "c: {value: 1, when: {b: 1}}",
            "units: {value: 8, repeat: a}",
            "constraints: [c < 1, units_1 < 3]",
            "start_from: [{a: 1}]",
        )
    )
    assert [line.split(":")[1] for line in reported] == ["2"]


def test_a_space_is_written_in_full_and_read_back():
    """What a space writes of itself reads back to an equal one, from YAML too."""
    space = parsed(
        space_with(
            "depth: {type: int, low: 1, high: 3, default: 2}",
            "units: {type: int, low: 8, high: 64, log: true, step: 2, repeat: depth}",
            "rate: {type: float, low: 0, high: 1, step: 0.1}",
            "on: {choices: [null, true, 1.5, x], default: null, when: {rate: {'>': 0.1, '<=': 0.5}}}",
            "off: {value: null, when: {on: [x, null], depth: '!= 1'}}",
            "constraints: [units_1 < 64]",
            "start_from: [{depth: 1}]",
        )
    )
    assert parse_space_dict(space.to_dict()) == space
    assert parse_space_dict(parse_document(to_yaml(space.to_dict()), "f").data) == space


def test_an_override_on_the_command_line_is_blamed():
    """A value set from outside is shown where it came from."""
    document = parse_document("space: {a: {type: float, low: 1, high: 2}}", "s.yaml")
    changed = document.replace_value(("space", "a", "high"), "x", "--set space.a.high=x")
    with pytest.raises(InputError) as caught:
        parse_space(changed)
    assert str(caught.value) == '--set space.a.high=x: space.a.high: expected a number, got the text "x"'
