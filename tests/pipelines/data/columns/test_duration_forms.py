"""Durations in a column's text: which words are some, and what two numbers of a clock are."""

import pytest

from pipelines.data.columns.duration_forms import find_duration_form, note_durations
from pipelines.data.columns.number_forms import FormConflict
from pipelines.data.columns.text_types import ReadingRules, find_target_form, infer_type
from tracking.mlflow.cell_values import read_words


@pytest.mark.parametrize(
    ("words", "seconds"),
    [
        (["1h 54m", "45m", "2h"], [6840, 2700, 7200]),
        (["1 hour, 5 minutes", "20 seconds"], [3900, 20]),
        (["25:00:01", "01:54:30"], [90001, 6870]),
        (["2 days 03:00:00", "0 days 00:00:05"], [183600, 5]),
        (["1 day, 2:03:04", "2:03:04"], [93784, 7384]),
        (["-1 days +23:00:00", "1 days 00:00:00"], [-3600, 86400]),
        (["PT1H30M", "P1DT2S", "P2W"], [5400, 86402, 1209600]),
        (["3:45", "1:02:03"], [225, 3723]),
        (["1:54.5", "2:05"], [114.5, 125]),
        (["2d 3h", "5h"], [183600, 18000]),
    ],
)
def test_forms_of_durations(words, seconds):
    """A column whose every word is a duration holds seconds, as a deployed model reads them, and a note states it."""
    found = infer_type(words, "a", ReadingRules())
    assert found.kind == "numeric"
    assert read_words(words, "numeric", found.form).tolist() == pytest.approx(seconds)
    assert "seconds" in found.note and "data.columns.a" in found.note


@pytest.mark.parametrize(
    "words", [["3d", "2d"], ["M", "S"], ["1h 54x"], ["2h 3h"], ["75:68", "30:15"], ["P1Y", "P2M"], ["16:9", "4:3"], []]
)
def test_what_is_no_duration(words):
    """One unit alone is a number's, scores and ratios are no clocks, and years and months have no length."""
    assert find_duration_form(words, "a", is_number=True) is None


def test_times_of_day():
    """A clock below 24 hours is a time of day, unless the column's name or the study file shows a duration."""
    words = ["01:54:30", "13:00:00"]
    assert infer_type(words, "start", ReadingRules()).kind == "date"
    assert "for durations set data.columns.start.type: numeric" in infer_type(words, "start", ReadingRules()).note
    for name in ("duration", "raceTime", "Elapsed (h:m:s)"):
        assert infer_type(words, name, ReadingRules()).kind == "numeric"
    assert find_duration_form(words, "start", is_number=True) is not None


def test_two_numbers_of_a_clock():
    """Nothing shows whether 75:30 is hours or minutes: it is refused with the key that decides, which is followed."""
    words = ["75:30", "9:15"]
    with pytest.raises(
        FormConflict, match=r"75:30, which may be .* format: \"%H:%M\"}} or \"%M:%S\"".replace("}}", "}")
    ):
        infer_type(words, "a", ReadingRules())
    for clock, first in (("%H:%M", 271800), ("%M:%S", 4530)):
        form = find_duration_form(words, "a", clock, is_number=True)
        assert form is not None and read_words(words, "numeric", form)[0] == first
        assert f"read as {first} seconds" in note_durations(words, form, "a")


def test_targets():
    """A target of clocks is a duration; two numbers such as 08:30 stay classes."""
    form = find_target_form(["01:54:30", "02:10:00"], "t", ReadingRules())
    assert form is not None and form.duration
    assert find_target_form(["08:30", "09:30"], "t", ReadingRules()) is None
