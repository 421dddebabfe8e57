"""The ways to write a condition, and when it holds."""

from __future__ import annotations

import pytest

from search_spaces.conditions import Condition, read_when, write_when


@pytest.mark.parametrize(
    ("written", "conditions"),
    [
        ({"optimizer": "sgd"}, [("optimizer", "in", ("sgd",))]),
        ({"optimizer": ["sgd", "adam"]}, [("optimizer", "in", ("sgd", "adam"))]),
        ({"depth": ">= 2"}, [("depth", ">=", (2,))]),
        ({"dropout": ">0.5"}, [("dropout", ">", (0.5,))]),
        ({"clip": "!= none"}, [("clip", "not in", ("none",))]),
        ({"nesterov": "== true"}, [("nesterov", "in", (True,))]),
        ({"x": "!= null"}, [("x", "not in", (None,))]),
        ({"depth": {">=": 2, "<": 5}}, [("depth", ">=", (2,)), ("depth", "<", (5,))]),
        ({"depth": {"not in": [1, 2]}}, [("depth", "not in", (1, 2))]),
        ({"a": None, "b": True}, [("a", "in", (None,)), ("b", "in", (True,))]),
        (None, []),
        ({}, []),
    ],
)
def test_a_condition_is_a_value_a_list_or_a_comparison(written, conditions):
    """All ways of writing give the same few tests, and these are written so that they read back alike."""
    faults = []
    read = read_when(written, faults)
    assert faults == []
    assert [(test.parent, test.operator, test.operand) for test in read] == conditions
    assert read_when(write_when(read), faults) == read


def test_a_text_that_looks_like_a_comparison_can_be_meant():
    """A choice named `> 1` is reached through `in`, and is written so."""
    read = read_when({"x": {"in": ["> 1"]}}, [])
    assert read == (Condition("x", "in", ("> 1",)),)
    assert read_when(write_when(read), []) == read


@pytest.mark.parametrize(
    ("written", "keys", "message"),
    [
        ("sgd", (), 'expected a mapping such as {optimizer: sgd}, got the text "sgd"'),
        ({"a": []}, ("a",), "expected at least one value, got an empty list"),
        ({"a": {}}, ("a",), 'expected a value, a list or comparisons such as {">=": 2}, got nothing'),
        ({"a": ">= two"}, ("a",), 'expected a number after >=, got the text "two"'),
        ({"a": {">=": "2"}}, ("a", ">="), 'expected a number after >=, got the text "2"'),
        ({"a": {">=": True}}, ("a", ">="), "expected a number after >=, got true"),
        ({"a": {"<": 10**400}}, ("a", "<"), "expected a number after <, got a whole number with many digits"),
        ({"a": f">= {10**400}"}, ("a",), "expected a number after >=, got a whole number with many digits"),
        (
            {"a": [10**400]},
            ("a",),
            "expected text, a finite number, true, false or null, got a whole number with many digits",
        ),
        ({"a": {"<": float("nan")}}, ("a", "<"), "expected a number after <, got nan"),
        ({"a": [[1]]}, ("a",), "expected text, a finite number, true, false or null, got a list"),
        (
            {"a": {"=<": 2}},
            ("a", "=<"),
            'unknown comparison "=<"; did you mean "<"? The choices are: !=, <, <=, ==, >, >=, in, not in',
        ),
    ],
)
def test_what_is_no_condition_is_reported(written, keys, message):
    """A fault names the parent that it stands at."""
    faults = []
    read_when(written, faults)
    assert [(fault.keys, fault.message) for fault in faults] == [(keys, message)]


@pytest.mark.parametrize(
    ("operator", "operand", "passing", "failing"),
    [
        ("in", ("sgd", 1), ["sgd", 1, 1.0], ["adam", True, None]),
        ("not in", ("sgd",), ["adam", None, 1], ["sgd"]),
        ("<", (2,), [1, 1.9], [2, 3, "1", None, False]),
        ("<=", (2,), [2, 2.0], [2.1]),
        (">", (2,), [3], [2, True]),
        (">=", (2,), [2], [1]),
    ],
)
def test_when_a_condition_holds(operator, operand, passing, failing):
    """Text, null, true and false pass no comparison by size."""
    condition = Condition("x", operator, operand)
    assert [value for value in passing if not condition.holds(value)] == []
    assert [value for value in failing if condition.holds(value)] == []


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        (Condition("optimizer", "in", ("sgd", "adam")), "optimizer is sgd or adam"),
        (Condition("clip", "not in", (None,)), "clip is not null"),
        (Condition("depth", ">=", (2,)), "depth >= 2"),
    ],
)
def test_a_condition_in_words(condition, words):
    """Messages describe a condition in plain words."""
    assert str(condition) == words
