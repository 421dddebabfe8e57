"""Text files of rows as tables of text.

All cells are read as text, because the guesses of readers lose information: a class with the name "NA" becomes missing,
a code 00501 a number, a column of mixed types objects. Types are inferred in `columns`. Python's own reader is used,
since it states the line of each row: errors name it.
"""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import pandas as pd

from pipelines.data.csv_layout import SAMPLE_LINES, Layout, find_layout
from pipelines.data.heading import Heading, read_heading
from pipelines.data.raw import Origin, RawData
from pipelines.data.source_file import SourceFile
from pipelines.data.tabular_files import check_header
from pipelines.data.text_encoding import find_encoding
from search_spaces.errors import InputError

MOST_LISTED = 10
_LONGEST_FIELD = 10_000_000  # letters; Python's default of 131,072 is a long article


@dataclass
class _Rows:
    """Rows as they are read: fields, the first line of each, and lines with another number of fields."""

    fields: list[list[str]] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)


def read_csv(file: SourceFile) -> RawData:
    """Return the rows of a text file: fields divided by one mark, in any encoding, with or without a header.

    Raises:
        InputError: if it is empty, is no text, has a doubled column, or a row whose fields do not fit the header; with
            the line as an editor counts it.
    """
    encoding = find_encoding(file)
    with file.open_text(encoding.name) as text:
        layout = find_layout(list(itertools.islice(text, SAMPLE_LINES)), file)
    with file.open_text(encoding.name) as text:
        rows = _read_rows(text, layout, file)
    if not rows.fields:
        raise file.refuse(f"{file.name} is empty; expected a header line and rows")
    # Files that were joined repeat their header, which would count as a value.
    below = [fields for fields in rows.fields[1:] if fields != rows.fields[0]]
    heading = read_heading(rows.fields[0], below, f"line {rows.lines[0]} of {file.name}", file)
    written = [] if heading.is_row or file.spec.names else rows.fields[0]
    check_header(heading.names, file)
    notes = [*encoding.notes, *layout.notes, *heading.notes, *_clean(rows, heading, file)]
    if not rows.fields:
        raise file.refuse(f"{file.name} has no rows below its header")
    columns = pd.Index(heading.names, dtype=object)
    table = pd.DataFrame(rows.fields, columns=columns, dtype=object)
    headers = {name.strip(): name for name in written if name != name.strip()}
    origin = Origin(file.name, file.key, "line", rows.lines, file.part)
    return RawData((origin,), table=table, text=True, headers=headers, notes=tuple(notes))


def _read_rows(text: io.TextIOWrapper, layout: Layout, file: SourceFile) -> _Rows:
    """Return all rows that are not blank, the header among them."""
    rows, lines = _Rows(), _NumberedLines(text, layout)
    # Text repeats: one string for each word, not one for each cell.
    words: dict[str, str] = {}
    csv.field_size_limit(_LONGEST_FIELD)
    try:
        for fields in layout.read_fields(iter(lines)):  # type: ignore[attr-defined]
            start = lines.take_first()
            if fields and (len(fields) > 1 or fields[0].strip()):
                rows.fields.append([words.setdefault(cell, cell) for cell in fields])
                rows.lines.append(start)
    except csv.Error as error:
        start = lines.take_first()
        raise (
            _explain_quote(start, file)
            if "field larger" in str(error)
            else file.refuse(f"line {start} of {file.name} cannot be read: {error}")
        ) from None
    if lines.is_cut:
        raise _explain_quote(rows.lines[-1], file)
    return rows


class _NumberedLines:
    """Lines of a file without those that are left out; knows the first line of the row that is being read.

    Attributes:
        is_cut: whether the file ended within a quoted field.
    """

    def __init__(self, text: io.TextIOWrapper, layout: Layout) -> None:
        self._text = text
        self._layout = layout
        self._first = 0
        self.is_cut = False

    def __iter__(self) -> Iterator[str]:
        comment = self._layout.comment
        for number, line in enumerate(self._text, 1):
            if number <= self._layout.skipped:
                continue
            # The reader takes a further line before the row's end only within quotes, where nothing is a comment.
            if comment and not self._first and line.lstrip().startswith(comment):
                continue
            self._first = self._first or number
            yield line
        self.is_cut = self._first > 0

    def take_first(self) -> int:
        """Return the first line of the row that was read."""
        first, self._first = self._first, 0
        return first


def _clean(rows: _Rows, heading: Heading, file: SourceFile) -> list[str]:
    """Take the header from the rows, and what is no row; return notes."""
    notes: list[str] = []
    first = [] if heading.is_row else rows.fields[0]
    start = 0 if heading.is_row else 1
    numbered = list(zip(rows.fields[start:], rows.lines[start:], strict=True))
    repeated = [line for fields, line in numbered if fields == first]
    # A spreadsheet may write thousands of them below its last row.
    empty = [line for fields, line in numbered if not any(map(str.strip, fields))]
    wrong = [
        (fields, line) for fields, line in numbered if len(fields) != len(heading.names) and any(map(str.strip, fields))
    ]
    if wrong and not file.spec.skip_broken:
        raise _explain_fields(wrong, heading, file)
    for lines, words in (
        (repeated, "repeat the header"),
        (empty, "hold no value"),
        ([line for _, line in wrong], "have too many or too few fields (data.skip_broken)"),
    ):
        if lines:
            notes.append(f"lines of {file.name} that {words} are left out: {list_lines(lines)}")
    out = {*repeated, *empty, *(line for _, line in wrong)}
    kept = [pair for pair in numbered if pair[1] not in out]
    rows.fields[:], rows.lines[:] = [fields for fields, _ in kept], [line for _, line in kept]
    return notes


def _explain_fields(wrong: Sequence[tuple[list[str], int]], heading: Heading, file: SourceFile) -> InputError:
    fields, line = wrong[0]
    got = "1 field" if len(fields) == 1 else f"{len(fields)} fields"
    like = "as data.names" if file.spec.names else "as in the first row" if heading.is_row else "as in the header"
    more = f" ({len(wrong)} such lines: {list_lines([each for _, each in wrong])})" if len(wrong) > 1 else ""
    advice = "correct it, or set data.skip_broken: true to leave such lines out"
    if fields[0].startswith(("#", "//", "%")):
        advice = f'if it is a comment, set data.comment: "{fields[0].lstrip()[0]}"'
    message = f"line {line} of {file.name} has {got}, expected {len(heading.names)} {like}{more}; {advice}"
    return file.refuse(message)


def _explain_quote(line: int, file: SourceFile) -> InputError:
    message = f"the row from line {line} of {file.name} opens a quote that is not closed; close or remove the quote"
    return file.refuse(message)


def list_lines(lines: Sequence[int]) -> str:
    """Return the first lines, and the number of the others."""
    shown = ", ".join(map(str, lines[:MOST_LISTED]))
    return shown if len(lines) <= MOST_LISTED else f"{shown} and {len(lines) - MOST_LISTED} more"
