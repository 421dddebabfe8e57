"""Problems with their places, and the nearest right word."""

import pytest

from search_spaces.errors import InputError, KerastudyError, Place, Problem, find_closest, suggest_choice

NAMES = ["learning_rate", "learning_rate_power", "l2", "val_loss", "val_root_mean_squared_error", "Adam"]


def test_a_problem_begins_with_its_place():
    """File, line and column come first, then the dotted key, then the message; what is not known is left out."""
    place = Place("s.yaml", 3, 7)
    assert str(Problem("is wrong", "space.l2", place)) == "s.yaml:3:7: space.l2: is wrong"
    assert str(Problem("is wrong", "space.l2")) == "space.l2: is wrong"
    assert str(Problem("is wrong")) == "is wrong"


def test_the_command_line_has_no_lines():
    """A place without a line is its name alone."""
    assert str(Place("--set a=1", 0, 0)) == "--set a=1"


def test_bad_input_carries_all_problems():
    """One line for each problem, and the exit code of bad input."""
    error = InputError([Problem("one"), Problem("two", "b")])
    assert (str(error), error.exit_code) == ("one\nb: two", 2)
    assert InputError("one").problems == (Problem("one"),)
    assert (KerastudyError("x").exit_code, isinstance(error, KerastudyError)) == (1, True)


@pytest.mark.parametrize(
    ("got", "meant"),
    [
        ("lerning_rate", "learning_rate"),
        ("learning", "learning_rate"),
        ("LEARNING_RATE", "learning_rate"),
        ("adam", "Adam"),
        ("lr", "learning_rate"),
        ("val_rmse", "val_root_mean_squared_error"),
        ("zzz", None),
        ("", None),
    ],
)
def test_the_closest_name(got, meant):
    """Slips, other case, beginnings and initials find their name; anything else finds none."""
    assert find_closest(got, NAMES) == meant


def test_a_name_of_other_words_is_not_close():
    """A long word in common makes no name of another meaning likely."""
    assert find_closest("missing_target", ["missing_values"]) is None
    assert find_closest("multi_label", ["multiclass"]) is None
    assert find_closest("missing_valeus", ["missing_values"]) == "missing_values"


def test_few_choices_are_listed():
    """All choices are reported, in order, whether or not one is close."""
    assert suggest_choice("dpeth", ["l2", "depth"]) == 'did you mean "depth"? The choices are: depth, l2'
    assert suggest_choice("zzz", ["l2", "depth"]) == "the choices are: depth, l2"
    assert suggest_choice("zzz", []) == "there are no choices here"


def test_many_choices_are_listed_only_where_none_is_close():
    """A long list does not bury the hint."""
    many = [f"name_{number}" for number in range(30)]
    assert suggest_choice("nam_7", many) == 'did you mean "name_7"?'
    assert suggest_choice("zzz", many).count(",") == 29
    assert suggest_choice("zzz", [f"x{number:04d}" for number in range(1200)]).endswith("x0099 and 1,100 more")
