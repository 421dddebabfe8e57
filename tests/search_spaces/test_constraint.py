"""The language of constraints: what it can express, and what it refuses."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search_spaces.constraint import Constraint, ConstraintError
from search_spaces.errors import InputError

KINDS = {"a": "number", "b": "number", "on": "truth", "word": "other"}


@pytest.mark.parametrize(
    ("text", "values", "holds"),
    [
        ("a <= b", {"a": 1, "b": 1}, True),
        ("a <= b", {"a": 2, "b": 1}, False),
        ("1 < a < b", {"a": 2, "b": 3}, True),
        ("1 < a < b", {"a": 1, "b": 3}, False),
        ("a * b + 2 <= 8 / 2", {"a": 1, "b": 2}, True),
        ("-a < 0 and b - 1 == 1", {"a": 1, "b": 2}, True),
        ("a > 1 or not on", {"a": 1, "on": False}, True),
        ('word != "sgd" or a < 0.1', {"word": "sgd", "a": 1}, False),
        ("on == true", {"on": True}, True),
        ("on == 1", {"on": True}, False),
        ("word == null", {"word": None}, True),
        ("a / b > 1", {"a": 1, "b": 0}, False),
        ("a * a * a * a < 1", {"a": 1e150}, False),
    ],
)
def test_a_constraint_says_what_it_reads(text, values, holds):
    """Arithmetic, comparisons and logic mean what they mean in Python; a division by zero breaks the constraint."""
    constraint = Constraint(text)
    constraint.check(KINDS)
    assert constraint.holds(values) is holds


def test_a_constraint_on_what_does_not_exist_holds():
    """A parameter that is not active cannot break anything."""
    assert Constraint("a < b").holds({"a": 1})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (3, 'expected an expression such as "units_2 <= units_1", got 3'),
        (" ", 'expected an expression such as "units_2 <= units_1", got the text " "'),
        ("a <", 'expected an expression such as "units_2 <= units_1", got "a <": invalid syntax'),
        ("a < b" + " " * 300, "expected at most 300 characters, got 305"),
        ("1 < 2", 'expected the name of a parameter in it, got "1 < 2"'),
        *(
            (text, f"expected names, numbers, quoted text, + - * /, comparisons, and, or, not; got `{got}`")
            for text, got in [
                ("a ** 2 < 3", "a ** 2"),
                ("a % 2 == 0", "a % 2"),
                ("print(a)", "print(a)"),
                ("a.real < 1", "a.real"),
                ("a[0] < 1", "a[0]"),
                ("[a] == b", "[a]"),
                ("(lambda: a) == b", "lambda: a"),
                ("(a if b else 1) < 2", "a if b else 1"),
                ("f'{a}' == word", "f'{a}'"),
                ("(a := 1) < 2", "(a := 1)"),
                ("~a < 2", "~a"),
            ]
        ),
        ("a in b", "expected <, <=, >, >=, == or !=, got `a in b`"),
        ("a is b", "expected <, <=, >, >=, == or !=, got `a is b`"),
        ("a < b'x'", "expected numbers between -1e150 and 1e150, quoted text, true, false or null"),
        ("a < 1e999", "expected numbers between -1e150 and 1e150, quoted text, true, false or null"),
        ("a < 1j", "expected numbers between -1e150 and 1e150, quoted text, true, false or null"),
        ('a < "x"', "expected a number, got `'x'`"),
        ("a < (b < 1)", "expected a number, got `b < 1`"),
        ("(a + 1) and b < 1", "expected something true or false, got `a + 1`"),
    ],
)
def test_only_what_is_allowed_is_read(text, message):
    """Whatever could call, look up or build anything is refused by name, before a parameter is known."""
    assert issubclass(ConstraintError, InputError)  # what is wrong with any part of a space is one
    with pytest.raises(ConstraintError) as caught:
        Constraint(text)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("c < 1", 'there is no parameter "c"; the choices are: a, b, on, word'),
        ("wort == a", 'there is no parameter "wort"; did you mean "word"? The choices are: a, b, on, word'),
        ("word < 1", "expected a number, got `word`"),
        ("on + 1 < 2", "expected a number, got `on`"),
        ("not a", "expected something true or false, got `a`"),
        ("a + b", 'expected a comparison such as "units_2 <= units_1", got "a + b"'),
        ("word", 'expected a comparison such as "units_2 <= units_1", got "word"'),
    ],
)
def test_a_constraint_must_fit_the_parameters(text, message):
    """Names must be known, only numbers are reckoned with, and the whole must be true or false."""
    with pytest.raises(ConstraintError) as caught:
        Constraint(text).check(KINDS)
    assert str(caught.value) == message


@settings(deadline=None, derandomize=True, max_examples=300)
@given(st.text(max_size=60) | st.text(alphabet="ab1 ()+-*/<>=!.and or not'\"[]{}:,\n\\", max_size=40))
def test_any_text_is_a_constraint_or_refused(text):
    """Arbitrary text gives a constraint that can be evaluated, or a ConstraintError; nothing else, and no warning."""
    try:
        constraint = Constraint(text)
        constraint.check(dict.fromkeys(constraint.names, "number"))
    except ConstraintError:
        return
    assert constraint.holds(dict.fromkeys(constraint.names, 2)) in (True, False)
