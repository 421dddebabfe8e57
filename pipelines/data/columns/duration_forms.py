"""Forms of durations in a column's text: 1h 54m, 2h30, 01:54:30, 2 days 03:00:00, PT1H30M, 3:45.

A clock below 24 hours may be a time of day: it is a duration where another value of the column, its name or the study
file shows that. Two numbers, as in 75:30, are minutes and seconds where another value has three or a fraction;
otherwise the study file must state it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from pipelines.data.columns.number_forms import FormConflict
from tracking.mlflow.cell_values import CellForm
from tracking.mlflow.time_values import HOUR_CLOCK, LONG_CLOCK, MINUTE_CLOCK, read_duration, split_duration

DURATION_CLOCKS = (LONG_CLOCK, HOUR_CLOCK, MINUTE_CLOCK)
"""Forms of durations that `data.columns.<name>.format` takes for numbers."""
_NAME = re.compile(
    r"(?:^|[\W_])(?:durations?|duree|durée|dauer|duracion|duración|elapsed|runtime|run[ _]?time|(?:lap|gun|chip|net|"
    r"finish|split|race|travel|trip|waiting|wait|processing|handling|flight|play)[ _-]?times?|laufzeit|fahrzeit)"
    r"(?:$|[\W_])",
)
_DAY_H = 24


def find_duration_form(words: Sequence[str], name: str, date_format: str = "", *, is_number: bool) -> CellForm | None:
    """Return the form in which all of a column's distinct words are durations; None where there is none.

    Args:
        words: the distinct words, without missing ones.
        name: the column's name.
        date_format: the form that the study file gives; empty where it gives none.
        is_number: whether the column is known to hold no dates.

    Raises:
        FormConflict: if two numbers of a clock may be hours and minutes, or minutes and seconds.
    """
    splits = [split_duration(word) for word in words[:50]]
    if not words or not all(splits) or not all(further := [split_duration(word) for word in words[50:]]):
        return None
    found = [split for split in (*splits, *further) if split is not None]
    kinds = {kind for kind, _ in found}
    if "units" in kinds and not _are_of_several_units(found, kinds):
        return None
    if date_format in DURATION_CLOCKS:
        return CellForm(duration=date_format)
    if kinds == {"hours"}:
        # 14h30 is a time of day, as 14:30:00 is.
        is_long = is_number or _NAME.search(_separate(name)) or any(_get_first(word) >= _DAY_H for word in words)
        return CellForm(duration=LONG_CLOCK) if is_long else None
    clocks = {"clock", "short clock"}
    if not kinds <= clocks:
        return CellForm(duration=MINUTE_CLOCK if "short clock" in kinds else LONG_CLOCK)
    beyond = any(_get_first(word) >= _DAY_H for word in words)
    if not (beyond or is_number or _NAME.search(_separate(name))) and kinds != clocks:
        return None
    if "clock" in kinds:
        return CellForm(duration=MINUTE_CLOCK if "short clock" in kinds else LONG_CLOCK)
    if not beyond and not is_number:
        return None
    example = next((word for word in words if _get_first(word) >= _DAY_H), words[0])
    raise FormConflict(
        f"holds {example}, which may be hours and minutes or minutes and seconds; set data.columns.{name}: "
        f'{{type: numeric, format: "{HOUR_CLOCK}"}} or "{MINUTE_CLOCK}"'
    )


def note_durations(words: Sequence[str], form: CellForm, name: str) -> str:
    """Return the note on a column that is read as durations."""
    short = next((word for word in words if form.duration != LONG_CLOCK and _is_short(word)), "")
    example = short or words[0]
    shown = f"holds durations such as {example!r}, read as {read_duration(example, form.duration):.12g} seconds"
    if short:
        is_minutes = form.duration == MINUTE_CLOCK
        meant = "minutes and seconds" if is_minutes else "hours and minutes"
        other = HOUR_CLOCK if is_minutes else MINUTE_CLOCK
        key = f'data.columns.{name}: {{type: numeric, format: "{other}"}}'
        return f'column "{name}" {shown} ({meant}); otherwise set {key}, or its type: string for categories'
    return f'column "{name}" {shown}; if they are categories, set data.columns.{name}.type: string'


def _are_of_several_units(found: Sequence[tuple[str, tuple[str, ...]]], kinds: set[str]) -> bool:
    """Return whether durations have several units: numbers with one unit, such as sizes 2d and 3d, may be anything."""
    return len({unit for _, units in found for unit in units}) > 1 or len(kinds) > 1


def _is_short(word: str) -> bool:
    return (split_duration(word) or ("",))[0] == "short clock"


def _get_first(word: str) -> int:
    return int(re.split(r"[:hH]", word.lstrip("+-"))[0])


def _separate(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
