"""Spaces that extend others: what overrides what, what is dropped, and files that cannot be extended."""

from __future__ import annotations

import pytest

from search_spaces.errors import InputError
from search_spaces.parse import parse_space
from search_spaces.space import Categorical, Fixed, Float, Int
from search_spaces.yaml_reader import parse_document, read_document

BASE = """
depth: {type: int, low: 1, high: 3, default: 1}
units: {type: int, low: 8, high: 64, default: 8, repeat: depth}
optimizer: {choices: [sgd, adam, rmsprop], default: adam}
momentum: {type: float, low: 0, high: 1, default: 0.9, when: {optimizer: [sgd, rmsprop]}}
nesterov: {choices: [true, false], when: {momentum: "> 0"}}
constraints: [units_1 >= units_2, momentum < 0.99]
start_from: [{optimizer: sgd, momentum: 0.5}]
"""


@pytest.fixture
def extending(tmp_path):
    """Return a function that reads a space with these lines, extending a file that holds BASE."""

    def read(*lines, base=BASE):
        (tmp_path / "base.yaml").write_text(base)
        (tmp_path / "s.yaml").write_text("space:\n  extends: base.yaml\n" + "".join(f"  {line}\n" for line in lines))
        return parse_space(read_document(tmp_path / "s.yaml"))

    return read


@pytest.fixture
def problems(extending, tmp_path):
    def reported(*lines, **others):
        with pytest.raises(InputError) as caught:
            extending(*lines, **others)
        return [str(problem).replace(f"{tmp_path}/", "") for problem in caught.value.problems]

    return reported


def test_everything_is_taken_over(extending):
    """Without overrides a space is the one that it extends, constraints and points included."""
    space = extending("epochs: 3")
    assert space.names == ("depth", "units_1", "units_2", "units_3", "optimizer", "momentum", "nesterov", "epochs")
    assert len(space.constraints) == 2
    assert space.start_from == ({"optimizer": "sgd", "momentum": 0.5},)


def test_a_parameter_in_full_replaces(extending):
    """A list, a value or a mapping with its type replaces what was there, its default and repeat too."""
    space = extending("depth: 2", "units: {type: int, low: 1, high: 9}", "optimizer: [sgd, adam]")
    assert space.parameters["depth"] == Fixed("depth", 2)
    assert space.parameters["units"] == Int("units", 1, 9)
    assert space.parameters["optimizer"] == Categorical("optimizer", ("sgd", "adam"))


def test_single_keys_are_overridden(extending):
    """A mapping without a type changes the keys that it names and keeps the others."""
    space = extending("units: {high: 16}", "depth: {high: 2}")
    assert space.parameters["units_2"].bounds == (8, 16)
    assert space.names[:3] == ("depth", "units_1", "units_2")


def test_a_kept_default_that_no_longer_fits_goes(extending):
    """A default that a narrower range excludes is not the person's mistake."""
    space = extending("momentum: {high: 0.5}")
    assert space.parameters["momentum"] == Float("momentum", 0, 0.5, when=space.parameters["momentum"].when)


def test_conditions_are_kept(extending):
    """When a parameter exists is the model's affair: an override keeps the condition unless it gives one."""
    when = extending().parameters["momentum"].when
    assert extending("momentum: 0.9").parameters["momentum"] == Fixed("momentum", 0.9, when)
    assert extending("momentum: [0.5, 0.9]").parameters["momentum"].when == when
    assert extending("momentum: {value: 0.9, when: null}").parameters["momentum"].when == ()
    assert extending("momentum: {when: {optimizer: adam}}").find_active({"optimizer": "adam"})[2:] == ("momentum",)


def test_what_can_no_longer_be_goes_silently(extending):
    """Inherited parameters whose condition an override makes impossible go, and their children with them."""
    space = extending("optimizer: adam")
    assert space.names == ("depth", "units_1", "units_2", "units_3", "optimizer")
    assert [constraint.text for constraint in space.constraints] == ["units_1 >= units_2"]
    assert space.start_from == ()


def test_a_condition_loses_values_that_are_gone(extending):
    """An inherited condition on one of several values keeps those that are left."""
    space = extending("optimizer: [sgd, adam]")
    assert space.parameters["momentum"].when[0].operand == ("sgd",)


def test_parameters_are_dropped(extending):
    """What is dropped goes with what depends on it, and with the constraints and points that name it."""
    assert extending("drop: [momentum]").names[-1] == "optimizer"
    space = extending("drop: depth")
    assert space.names == ("optimizer", "momentum", "nesterov")
    assert [constraint.text for constraint in space.constraints] == ["momentum < 0.99"]


def test_new_points_replace_inherited_ones(extending):
    """A space with starting points does not start elsewhere first."""
    assert extending("start_from: [{depth: 2}]").start_from == ({"depth": 2},)


def test_constraints_add_up(extending):
    """Constraints are added to those taken over, none twice."""
    space = extending("constraints: [depth < 3, momentum < 0.99]")
    assert [constraint.text for constraint in space.constraints] == [
        "units_1 >= units_2",
        "momentum < 0.99",
        "depth < 3",
    ]


def test_several_spaces_are_extended_in_order(tmp_path):
    """Of several spaces that are extended a later one overrides an earlier one."""
    text = "space: {extends: [optimizer, mlp], epochs: 3}"
    space = parse_space(parse_document(text, str(tmp_path / "s.yaml")))
    assert len(space.parameters["optimizer"].bounds) == 3
    assert "amsgrad" in space.names
    assert "units" in space.names


def test_paths_start_at_the_file_that_says_them(tmp_path):
    """A path behind `extends` is relative to the file it stands in, or to the folder given for a text."""
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "one.yaml").write_text("extends: two.yaml\na: 1")
    (tmp_path / "shared" / "two.yaml").write_text("b: 2")
    (tmp_path / "s.yaml").write_text("space: {extends: shared/one.yaml}")
    assert parse_space(read_document(tmp_path / "s.yaml")).names == ("b", "a")
    text = parse_document("space: {extends: shared/one.yaml}", "a name")
    assert parse_space(text, folder=tmp_path).names == ("b", "a")


def test_circles_are_refused(tmp_path):
    """Files that extend each other in a circle are named."""
    (tmp_path / "one.yaml").write_text("extends: two.yaml")
    (tmp_path / "two.yaml").write_text("a: 1\nextends: [mlp, ./one.yaml]")
    with pytest.raises(InputError) as caught:
        parse_space(read_document(tmp_path / "one.yaml"), ())
    reported = str(caught.value).replace(f"{tmp_path}/", "")
    assert reported == (
        "two.yaml:2:16: extends[1]: the space extends itself: one.yaml -> two.yaml -> one.yaml; "
        "remove one of the `extends`"
    )


def test_extending_has_an_end(tmp_path):
    """Files that extend others many times over, and so without end to wait for, are refused."""
    for number in range(20):
        (tmp_path / f"{number}.yaml").write_text(f"extends: [{', '.join([f'{number + 1}.yaml'] * 50)}]")
    (tmp_path / "20.yaml").write_text("a: 1")
    with pytest.raises(InputError, match="more than 100 spaces extend each other"):
        parse_space(read_document(tmp_path / "0.yaml"), ())


@pytest.mark.parametrize(
    ("lines", "reported"),
    [
        ("drop: [" + "a, " * 201 + "]", "f:1:1: drop: expected at most 200 names of parameters, got 201"),
        ("constraints: [" + "a < 1, " * 201 + "]", "f:1:1: constraints: expected at most 200 constraints, got 201"),
        ("\n".join(f"p{i}: 1" for i in range(501)), "f:1:1: expected at most 500 parameters"),
        ("d: 100\n" + "\n".join(f"p{i}: {{value: 1, repeat: d}}" for i in range(9)), "f:1:1: expected at most 500"),
    ],
)
def test_lists_have_an_end(lines, reported):
    """What would take long to check is refused by its length."""
    with pytest.raises(InputError) as caught:
        parse_space(parse_document(lines, "f"), ())
    assert str(caught.value).startswith(reported)


def test_a_mistake_in_an_extended_file_is_shown_there(problems):
    """The place of a mistake is in the file that makes it."""
    assert problems(base="a: {type: float, low: 2, high: 1}") == [
        "base.yaml:1:1: a: low < high must hold, got low=2, high=1; swap them"
    ]


def test_a_mistake_in_an_override_is_shown_there(problems):
    """An override that breaks what it changes is blamed, not the file that it changes."""
    assert problems("units: {high: 4}") == [
        "s.yaml:3:3: space.units: low < high must hold, got low=8, high=4; swap them"
    ]


def test_an_override_that_can_never_be_active_is_reported(problems):
    """What a person gives must be of use: a value for an optimizer that is not on offer is not."""
    assert problems("optimizer: adam", "momentum: 0.5") == [
        's.yaml:4:3: space.momentum: can never hold: optimizer is never the text "sgd"; the choices are: adam'
    ]


@pytest.mark.parametrize(
    ("line", "reported"),
    [
        (
            "extends: mpl",
            's.yaml:1:19: space.extends: no shipped space is called "mpl"; did you mean "mlp"?',
        ),
        ("extends: no.yaml", "s.yaml:1:19: space.extends: {folder}/no.yaml: there is no such file; check the path"),
        ("extends: [mlp, bad.yaml]", "{folder}/bad.yaml:2:1: a: the key stands here a second time"),
    ],
)
def test_what_cannot_be_extended(tmp_path, line, reported):
    """An unknown name, a missing file and a broken file give different messages."""
    (tmp_path / "bad.yaml").write_text("a: 1\na: 2")
    document = parse_document(f"space: {{ {line} }}".replace("{ ", "{ ", 1), "s.yaml")
    with pytest.raises(InputError) as caught:
        parse_space(document, folder=tmp_path)
    assert str(caught.value).startswith(reported.format(folder=tmp_path))
