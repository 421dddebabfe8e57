"""Layout of a text file of rows: the mark between fields, and the lines above the table that are none of its rows."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pipelines.data.reading.heading import list_gap_words
from pipelines.data.reading.source_file import SourceFile
from pipelines.spec.data_spec import WHITESPACE, DataSpec

MARKS = (",", ";", "\t", "|")
SAMPLE_LINES = 200
AGREEMENT = 0.9  # share of lines with as many fields as most; a broken line must not decide
COMMENTS = ("#", "//", "%")
QUOTED_SHARE = 0.95  # of the words, from which single quotes stand around fields
_FEWEST_QUOTED = 3  # lines
_STATED_MARK = re.compile(r'^"?sep=(.)"?\s*$', re.IGNORECASE)
# Such as 1,5 or 1.234,50: a comma that divides no fields.
_COMMA_NUMBER = re.compile(r"[-+]?[\d.]*\d,\d+")
_MOST_SHOWN = 60


@dataclass(frozen=True)
class Layout:
    """The mark between fields, and which lines are left out.

    Attributes:
        sep: one mark, or `WHITESPACE`.
        skipped: number of lines above the table.
        comment: beginning of lines that are left out; "" for none.
        notes: what was decided for the user.
        quote: mark around fields that may hold the mark between fields.
    """

    sep: str
    skipped: int = 0
    comment: str = ""
    notes: tuple[str, ...] = ()
    quote: str = '"'

    def read_fields(self, lines: Iterator[str]) -> csv.reader:  # type: ignore[valid-type]
        """Return a reader of the fields of each row."""
        if self.sep != WHITESPACE:
            # A blank before a quote would make it a letter like the others.
            return csv.reader(lines, delimiter=self.sep, quotechar=self.quote, skipinitialspace=self.quote == "'")
        spaced = (f"{line.strip()}\n".replace("\t", " ") for line in lines)
        return csv.reader(spaced, delimiter=" ", quotechar=self.quote, skipinitialspace=True)


def find_layout(lines: Sequence[str], file: SourceFile) -> Layout:
    """Return the layout of a file.

    Args:
        lines: its first lines.
        file: the file; `data.sep` and `data.comment` are used where they are set.

    Raises:
        InputError: if lines above the table are neither rows nor comments.
    """
    comment = file.spec.comment or ""
    stated = _STATED_MARK.match(lines[0]) if lines else None
    above = max(1 if stated else 0, file.spec.skiprows)
    # Their line numbers, from 0: an empty line, or a comment, is no row.
    rows = [
        (number, line)
        for number, line in enumerate(lines)
        if number >= above and line.strip() and not (comment and line.lstrip().startswith(comment))
    ]
    chosen = file.spec.sep or (stated[1] if stated else None)
    sep, notes = (chosen, ()) if chosen else _find_mark([line for _, line in rows], file)
    if file.spec.sep is not None and rows and not any(len(_split(line, sep)) > 1 for _, line in rows):
        found, _ = _find_mark([line for _, line in rows], file)
        if len(_split(rows[0][1], found)) > 1:
            message = f"no line of {file.name} holds {sep!r}; its fields seem to be divided by {found!r}"
            raise file.refuse(message, "data.sep")
    start, said = _find_table(rows, sep, file) if not file.spec.skiprows else (0, ())
    quote, quoted = (file.spec.quote, ()) if file.spec.quote else _find_quote([line for _, line in rows], sep, file)
    return Layout(sep, max(above, start), comment, (*notes, *said, *quoted), quote)


def _find_mark(lines: Sequence[str], file: SourceFile) -> tuple[str, tuple[str, ...]]:
    """Return the mark that divides most lines into as many fields, with a note if it is not a usual one."""
    counts = {mark: _count_fields(lines, mark) for mark in (*MARKS, WHITESPACE)}
    fits = [mark for mark in MARKS if _agrees(counts[mark]) and counts[mark][0] == _get_usual(counts[mark])]
    # Second, also those by which lines above the table have other numbers of fields.
    fits = fits or [mark for mark in MARKS if _agrees(counts[mark])]
    is_spaced = len(set(counts[WHITESPACE][1:])) == 1 and len(lines) > 2 and _has_numbers(lines, file.spec)
    # A tab is blank too: it may stand among other blanks.
    if is_spaced and (not fits or (fits == ["\t"] and counts[WHITESPACE][1] >= 3 * _get_usual(counts["\t"]))):
        return WHITESPACE, (f"fields of {file.name} are divided by blanks (data.sep)",)
    if fits:
        return _choose_mark(fits, counts, lines), ()
    # By the header alone: cells may contain any of the marks, as in 1,5.
    return max(MARKS, key=lambda mark: counts[mark][0] if counts[mark] else 0), ()


def _choose_mark(fits: Sequence[str], counts: dict[str, list[int]], lines: Sequence[str]) -> str:
    best = max(fits, key=lambda mark: (_get_usual(counts[mark]), mark != ","))
    if best != ",":
        return best
    for mark in fits:
        cells = [cell.strip() for line in lines for cell in _split(line, mark) if "," in cell]
        if mark != "," and cells and all(_COMMA_NUMBER.fullmatch(cell) for cell in cells):
            return mark
    return best


def _find_quote(lines: Sequence[str], sep: str, file: SourceFile) -> tuple[str, tuple[str, ...]]:
    """Return the mark around fields, with a note where it is not the usual one."""
    if len(lines) < _FEWEST_QUOTED or any('"' in line for line in lines) or not any("'" in line for line in lines):
        return '"', ()
    gaps = list_gap_words(file.spec)
    cells = [cell.strip() for line in lines for cell in (line.split(None if sep == WHITESPACE else sep))]
    words = [cell for cell in cells if cell.lower() not in gaps and not _is_number(cell)]
    # A field with the mark between fields in it is cut here, and its parts have one quote each.
    quoted = sum(cell.startswith("'") or cell.endswith("'") for cell in words)
    if len(words) < len(lines) or quoted < QUOTED_SHARE * len(words):
        return '"', ()
    return "'", (f"fields of {file.name} stand in single quotes, which are no part of them (data.quote)",)


def _find_table(rows: Sequence[tuple[int, str]], sep: str, file: SourceFile) -> tuple[int, tuple[str, ...]]:
    """Return the number of lines above the table, and a note where these are comments."""
    counts = _count_fields([line for _, line in rows], sep)
    usual = _get_usual(counts)
    # One line above may be a header that lacks a name, which the rows below are compared with.
    if len(rows) < 3 or counts[0] == usual or not _agrees(counts):
        return 0, ()
    first = counts.index(usual)
    above = [line.strip() for _, line in rows[:first]]
    if sep == WHITESPACE and first == 1 and counts[0] == usual + 1 and above[0].startswith("# "):
        return 0, ()  # a header that NumPy wrote as a comment
    if all(line.startswith(COMMENTS) for line in above):
        which = "line 1 begins" if rows[first][0] == 1 else f"lines 1 to {rows[first][0]} begin"
        note = f"{which} with {above[0][0]} in {file.name} and {'is' if first == 1 else 'are'} left out (data.comment)"
        return rows[first][0], (note,)
    if any(count > 1 for count in counts[:first]):
        return 0, ()
    line, number = above[0][:_MOST_SHOWN], rows[0][0] + 1
    raise file.refuse(
        f"line {number} of {file.name} has 1 field, expected {usual} as in the lines below: {line!r}; remove what is "
        f"above the table, or set data.skiprows: {rows[first][0]}"
    )


def _count_fields(lines: Sequence[str], mark: str) -> list[int]:
    """Return the number of fields of each row; a quoted field may run over several lines."""
    try:
        return [len(fields) for fields in Layout(mark).read_fields(iter(lines)) if fields]  # type: ignore[attr-defined]
    except csv.Error:
        return []


def _split(line: str, mark: str) -> list[str]:
    try:
        return next(iter(Layout(mark).read_fields(iter([line]))), [])
    except csv.Error:
        return []


def _agrees(counts: Sequence[int]) -> bool:
    """Return whether most rows have as many fields, from the first such row on."""
    usual = _get_usual(counts)
    return usual >= 2 and counts.count(usual) >= AGREEMENT * (len(counts) - counts.index(usual))


def _get_usual(counts: Sequence[int]) -> int:
    return Counter(counts).most_common(1)[0][0] if counts else 0


def _has_numbers(lines: Sequence[str], spec: DataSpec) -> bool:
    """Return whether a column below the first line holds numbers and gaps alone, as no column of a sentence does."""
    gaps = list_gap_words(spec)
    rows = [_split(line, WHITESPACE) for line in lines[1:]]
    for column in zip(*rows, strict=False):
        known = [cell for cell in column if cell.lower() not in gaps]
        if known and all(map(_is_number, known)) and 2 * len(known) >= len(column):
            return True
    return False


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
