"""Names that stand for several parameters, brought to one parameter a name."""

from __future__ import annotations

from search_spaces.conditions import Condition
from search_spaces.foreign.alternatives import DeclaredParameter, separate_names
from search_spaces.parameters import Categorical, Fixed, Int


def on(parent, *values):
    return Condition(parent, "in", values)


def brought(*parameters):
    """Return the parameters under separate names, and the notes."""
    notes = []
    declared = [DeclaredParameter(parameter, (index,)) for index, parameter in enumerate(parameters)]
    found = separate_names(declared, lambda path, message: notes.append((path, message)))
    return [each.parameter for each in found], notes


def test_the_first_of_two_under_the_same_conditions_is_taken():
    """What stands twice under the same conditions with different ranges is the first one, with a note on the other."""
    found, notes = brought(Int("x", 1, 2), Int("x", 1, 3))
    assert found == [Int("x", 1, 2)]
    assert notes == [((1,), '"x" stands here twice under the same conditions: the first is taken')]


def test_conditions_that_differ_in_two_parents_are_kept_apart():
    """No list of conditions holds where either of two pairs holds: the second gets another name."""
    parents = Categorical("a", (1, 2)), Categorical("b", (1, 2))
    found, notes = brought(*parents, Fixed("x", 1, (on("a", 1), on("b", 1))), Fixed("x", 1, (on("a", 2), on("b", 2))))
    assert [parameter.name for parameter in found] == ["a", "b", "x", "x_2"]
    assert len(notes) == 1


def test_a_new_name_is_not_taken():
    """The number behind a name is one that no other parameter has."""
    net = Categorical("net", ("a", "b"))
    found, _ = brought(net, Fixed("x_2", 0), Fixed("x", 1, (on("net", "a"),)), Fixed("x", 2, (on("net", "b"),)))
    assert [parameter.name for parameter in found] == ["net", "x_2", "x", "x_3"]
