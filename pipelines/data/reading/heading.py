"""Whether the first row of a table holds the names of its columns or is a row like the others.

Nobody writes it down, so it is read off the columns. A word above numbers is a name, and so is a word above few
categories of which it is none. A number above numbers is a value, and so is a word that is found below again. Numbers
that count up (0, 1, 2, ... or years) are names, as programs write them.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from pipelines.data.reading.source_file import SourceFile
from pipelines.spec.data_spec import DataSpec
from search_spaces.errors import InputError

ROWS = 1_000  # rows below that the first one is compared with
MOST_CELLS = 200_000
TYPED_SHARE = 0.9
CATEGORY_SHARE = 0.2  # of distinct words among the rows, below which a column holds categories
CATEGORY_ROWS = 20
CLEAR = 3  # columns that speak for a thing, for each that speaks against it
MISSING = frozenset({"", "?", "-", ".", "na", "n/a", "nan", "null", "none", "<na>", "inf", "-inf"})
_NUMBER = re.compile(r"[-+(]*\s*[$€£¥]?\s*[-+]?\d[\d.,' \u00a0]*(?:[eE][-+]?\d+)?\s*[%€$£¥]?\)?|[-+]?[.,]\d+")
_SIGNS = re.compile(r"[-+\d.,'eE \u00a0]")
_DATE = re.compile(r"\d{1,4}([-/.])\d{1,2}\1\d{1,4}.*|\d{1,2}:\d{2}.*|\d{1,2}[- ][A-Za-z]{3,9}[- ]\d{2,4}.*")
_PLACE = re.compile(r"column_\d+")
_YEARS = range(1800, 2201)
_MOST_SHOWN = 5

Sign = Literal["name", "counted name", "category name", "value", ""]


@dataclass(frozen=True)
class Heading:
    """Names of a table's columns.

    Attributes:
        names: the names, without blanks around.
        is_row: whether the first row is a row of values.
        notes: what was decided for the user.
    """

    names: list[str]
    is_row: bool
    notes: tuple[str, ...] = ()


def read_heading(first: Sequence[str], below: Sequence[Sequence[str]], place: str, file: SourceFile) -> Heading:
    """Return the names of the columns.

    Args:
        first: cells of the first row.
        below: cells of the rows below it.
        place: the first row's place, such as `line 1 of data.csv`.
        file: the file, with `data.header` and `data.names`.

    Raises:
        InputError: if it is not clear what the first row is, or `data.names` are too many or too few.
    """
    spec, cells = file.spec, [cell.strip() for cell in first]
    signs = _read_signs(cells, below[: max(20, min(ROWS, MOST_CELLS // len(cells)))], spec)
    is_row, notes = _decide(cells, signs, place, file)
    width = len(cells) if is_row or not below else len(below[0])
    targets = list_targets(spec)
    if file.is_new and len(spec.names) == width + len(targets):
        return Heading([name for name in spec.names if name not in targets], is_row, notes)
    if spec.names and len(spec.names) != width:
        shown = f"the rows of {file.name} have {width} fields"
        raise file.refuse(f"expected {width} names, got {len(spec.names)}: {shown}", "data.names")
    if spec.names:
        return Heading(list(spec.names), is_row, notes)
    if not is_row:
        # The name that pandas gives a column without one: a deployed model gets its tables.
        return Heading([cell or f"Unnamed: {index}" for index, cell in enumerate(cells)], False, notes)
    if len(file.columns) == width:
        whose = "of the model's inputs" if file.is_new else "of the file before"
        return Heading(list(file.columns), True, (f"{place} looks like a row, so the names are those {whose}",))
    names = [f"column_{number}" for number in range(1, width + 1)]
    if not file.is_new:
        _check_target(names, place, file)
    return Heading(names, True, notes)


def _decide(cells: Sequence[str], signs: Sequence[Sign], place: str, file: SourceFile) -> tuple[bool, tuple[str, ...]]:
    """Return whether the first row is a row, and notes."""
    spec = file.spec
    if spec.header != "auto":
        return spec.header == "none", ()
    names, values = sum("name" in sign for sign in signs), signs.count("value")
    strong = signs.count("name") + signs.count("counted name")
    if spec.names:
        is_row = list(cells) != spec.names and names <= values
        stands = "a row" if is_row else "the names of the columns, in whose place data.names stand"
        return is_row, () if list(cells) == spec.names else (f"{place} is taken for {stands} (data.header)",)
    if file.is_new and any(name in cells for name in file.columns):
        return False, ()
    named = list_named_columns(spec)
    meant = [name for name in named if name in cells]
    by_place = any(_PLACE.fullmatch(name) for name in named) and not meant and all(map(_is_typed, cells))
    if not by_place and (values == 0 or (names and names >= CLEAR * values)):
        return False, (_note_names(cells, place),) if values or "counted name" in signs else ()
    if by_place or names == 0 or (strong == 0 and values >= CLEAR * names):
        if meant and not file.is_new:
            raise _explain_conflict(cells, meant[0], place, file)
        shown = f"{place} looks like a row, not like names: {_show(cells)}"
        return True, (f"{shown}; the columns are column_1 to column_{len(cells)} (data.header, data.names)",)
    if meant:
        return False, (_note_names(cells, place),)
    raise file.refuse(
        f"{place} may hold names or a row: {_show(cells)}; set data.header to first if these are names, or to none",
        "data.header",
    )


def _note_names(cells: Sequence[str], place: str) -> str:
    return f"{place} is taken for the names of the columns: {_show(cells)} (data.header)"


def list_gap_words(spec: DataSpec) -> Collection[str]:
    """Return the words that stand for a missing value in any column, in lower case."""
    named = spec.missing_values
    words = itertools.chain.from_iterable(named.values()) if isinstance(named, dict) else named
    return MISSING | {word.strip().lower() for word in words}


def list_named_columns(spec: DataSpec) -> list[str]:
    """Return the columns that a study file names."""
    others = [name for name in (spec.weight, spec.split.column) if name is not None]
    return [*list_targets(spec), *others, *spec.drop, *spec.columns]


def list_targets(spec: DataSpec) -> list[str]:
    """Return the target columns that a study file names."""
    return [spec.target] if isinstance(spec.target, str) else list(spec.target or [])


def _explain_conflict(cells: Sequence[str], meant: str, place: str, file: SourceFile) -> InputError:
    return file.refuse(
        f'{place} looks like a row, not like names ({_show(cells)}), but the study names the column "{meant}" by it; '
        f"set header: none and name columns by place, such as column_{len(cells)} for the last, or by data.names; "
        "or set header: first, if that line does hold names",
        "data.header",
    )


def _check_target(names: Sequence[str], place: str, file: SourceFile) -> None:
    spec, targets = file.spec, list_targets(file.spec)
    unknown = [name for name in targets if name not in names]
    if targets and not unknown:
        return
    why = "" if spec.header == "none" else f"{place} looks like a row, not like names, so "
    got = f', got "{unknown[0]}"' if unknown else ""
    raise file.refuse(
        f"{why}the columns are column_1 to {names[-1]}: expected one of these as the target{got}; or set data.names"
        + ("" if spec.header == "none" else "; or data.header: first, if that line does hold names"),
        "data.target",
    )


def _read_signs(cells: Sequence[str], below: Sequence[Sequence[str]], spec: DataSpec) -> list[Sign]:
    """Return for each column what its first cell looks like."""
    missing = list_gap_words(spec)
    columns = [[row[index].strip() for row in below if index < len(row)] for index in range(len(cells))]
    known = [[cell for cell in column if cell.lower() not in missing] for column in columns]
    signs = [_read_sign(cell, column, missing) for cell, column in zip(cells, known, strict=True)]
    numbers = [index for index, sign in enumerate(signs) if sign == "value" and _is_typed(cells[index])]
    rows = [[row[index] for index in numbers] for row in below[:20] if len(row) >= len(cells)]
    # Programs write numbers as names of columns: 0, 1, 2, ... or years.
    if _are_steps([cells[index] for index in numbers]) and sum(map(_are_steps, rows)) < 0.5 * max(1, len(rows)):
        for index in numbers:
            signs[index] = "counted name"
    return signs


def _read_sign(cell: str, column: Sequence[str], missing: Collection[str]) -> Sign:
    if not column or cell.lower() in missing:
        return ""
    kinds = list(map(_get_kind, column))
    is_typed = sum(kind is not None for kind in kinds) >= TYPED_SHARE * len(column)
    if _is_typed(cell) and (not is_typed or _get_kind(cell) in kinds):
        return "value" if is_typed or cell in column else ""
    # A word above numbers, or a number in another dress, such as a date.
    if is_typed:
        return "name"
    if cell in column:
        return "value"
    has_categories = len(column) >= CATEGORY_ROWS and len(set(column)) <= CATEGORY_SHARE * len(column)
    return "category name" if has_categories else ""


def _is_typed(cell: str) -> bool:
    return _get_kind(cell) is not None


def _get_kind(cell: str) -> str | None:
    """Return what kind of number a cell holds, by the signs around it, or `date`; None for a word."""
    if _DATE.fullmatch(cell):
        return "date"
    return _SIGNS.sub("", cell) if _NUMBER.fullmatch(cell) else None


def _are_steps(cells: Sequence[str]) -> bool:
    """Return whether numbers count up by one step, or are years in their order."""
    try:
        numbers = [float(cell) for cell in cells]
    except ValueError:
        return False
    steps = {round(after - before, 9) for before, after in itertools.pairwise(numbers)}
    are_years = all(number in _YEARS for number in numbers)
    if len(numbers) >= 2 and are_years:
        return all(step > 0 for step in steps)
    return len(numbers) >= 3 and len(steps) == 1 and steps != {0.0}


def _show(cells: Sequence[str]) -> str:
    shown = [cell[:20] for cell in cells]
    if len(shown) > _MOST_SHOWN + 1:
        shown = [*shown[:_MOST_SHOWN], "...", shown[-1]]
    return ", ".join(shown)
