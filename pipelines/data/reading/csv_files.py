"""Text files of rows as tables of text.

All cells are read as text, because the guesses of readers lose information: a class with the name "NA" becomes missing,
a code 00501 a number, a column of mixed types objects. Types are inferred in `columns`. Python's own reader is used,
since it states the line of each row: errors name it.
"""

from __future__ import annotations

import csv
import io
import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import pandas as pd

from pipelines.data.raw import Origin, RawData
from pipelines.data.reading.csv_layout import SAMPLE_LINES, Layout, find_layout
from pipelines.data.reading.footer import FooterCheck, leave_footer
from pipelines.data.reading.heading import ROWS, Heading, list_targets, read_heading
from pipelines.data.reading.source_file import SourceFile
from pipelines.data.reading.tabular_files import check_header
from pipelines.data.reading.text_encoding import find_encoding
from pipelines.spec.data_spec import WHITESPACE
from search_spaces.errors import InputError

MOST_LISTED = 10
_LONGEST_FIELD = 10_000_000  # letters; Python's default of 131,072 is a long article
_MOST_LETTERS = 16_000_000  # of rows that are read together


@dataclass
class _Rows:
    """Rows as they are read: fields, and the first line of each."""

    fields: list[list[str]] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)


def read_csv(file: SourceFile) -> RawData:
    """Return the rows of a text file: fields divided by one mark, in any encoding, with or without a header.

    Raises:
        InputError: if it is empty, is no text, has a doubled column, or a row whose fields do not fit the header; with
            the line as an editor counts it.
    """
    (whole,) = iterate_csv(file)  # to its end, where the last row is checked
    return whole


def iterate_csv(file: SourceFile, cells: int | None = None) -> Iterator[RawData]:
    """Yield the rows of a text file, about so many cells at a time; all at once where `cells` is None.

    Raises:
        InputError: as `read_csv` does.
    """
    encoding = find_encoding(file)
    with file.open_text(encoding.name) as text:
        layout = find_layout(list(itertools.islice(text, SAMPLE_LINES)), file)
    with file.open_text(encoding.name) as text:
        joined: list[str] = []
        reader = leave_footer(_iterate_rows(text, layout, file, joined), file.spec)
        rows = _take(reader, None if cells is None else max(2 * ROWS, cells // 100))
        if not rows.fields:
            raise file.refuse(f"{file.name} is empty; expected a header line and rows")
        # Files that were joined repeat their header, which would count as a value.
        below = [fields for fields in rows.fields[1 : 2 * ROWS] if fields != rows.fields[0]]
        written = rows.fields[0]
        notes = _uncomment(rows, layout, file)
        heading = read_heading(rows.fields[0], below, f"line {rows.lines[0]} of {file.name}", file)
        _check_divided(written, heading, file)
        check_header(heading.names, file)
        notes = [*encoding.notes, *layout.notes, *notes, *heading.notes]
        header = _Header(heading, None if heading.is_row else rows.fields[0], _match_names(heading, written, file))
        if not heading.is_row:
            rows.fields, rows.lines = rows.fields[1:], rows.lines[1:]
        is_empty, footer = True, FooterCheck(file)
        while rows.fields:
            cleaned = _clean(rows, header, file, is_first=is_empty)
            if rows.fields:
                is_empty = False
                footer.update(rows.fields, f"line {rows.lines[-1]} of {file.name}")
                yield _make_piece(rows, header, [*notes, *joined, *cleaned], file)
                notes = []
                joined.clear()
            rows = _take(reader, None if cells is None else max(1, cells // len(heading.names)))
        if is_empty:
            raise file.refuse(f"{file.name} has no rows below its header")
        footer.finish()


def _check_divided(first: Sequence[str], heading: Heading, file: SourceFile) -> None:
    """Refuse a file of JSON, and one whose fields are divided by a mark that is not looked for.

    Raises:
        InputError: with the ending or the mark to set.
    """
    start = first[0].lstrip("\ufeff ")
    if re.match(r"\[?\s*\{\s*\"", start) or (re.match(r"\[?\s*\{\s*$", start) and len(first) == 1):
        raise file.refuse(f"{file.name} holds JSON; give it the ending .json, or .jsonl for one record a line")
    if len(heading.names) > 1 or file.spec.sep is not None or heading.is_row:
        return
    for target in list_targets(file.spec):
        parts = re.split(r"(?<=\w)([^\w\s\"'.-]+)(?=\w)", first[0])
        marks = set(parts[1::2])
        if target in parts[::2] and target != first[0] and len(marks) == 1 and len(mark := marks.pop()) == 1:
            raise file.refuse(
                f'the fields of {file.name} seem to be divided by "{mark}": {first[0][:60]}; set sep: "{mark}"',
                "data.sep",
            )


@dataclass(frozen=True)
class _Header:
    """The header of a file.

    Attributes:
        fields: its cells; None where the first row is a row like the others.
        written: names of columns as the file has them, where these have blanks around.
    """

    heading: Heading
    fields: list[str] | None
    written: dict[str, str]


def _match_names(heading: Heading, written: Sequence[str], file: SourceFile) -> dict[str, str]:
    has_names = not heading.is_row and not file.spec.names and len(written) == len(heading.names)
    pairs = zip(heading.names, written, strict=True) if has_names else ()
    return {name: cell for name, cell in pairs if cell and name != cell}


def _take(reader: Iterator[tuple[list[str], int]], most: int | None) -> _Rows:
    """Return the next rows: so many, or fewer of long ones."""
    rows, letters = _Rows(), 0
    for fields, line in reader:
        rows.fields.append(fields)
        rows.lines.append(line)
        if most is None:
            continue
        letters += sum(map(len, fields))
        if len(rows.fields) >= most or letters > _MOST_LETTERS:
            break
    return rows


def _make_piece(rows: _Rows, header: _Header, notes: Sequence[str], file: SourceFile) -> RawData:
    columns = pd.Index(header.heading.names, dtype=object)
    table = pd.DataFrame(rows.fields, columns=columns, dtype=object)
    origin = Origin(file.name, file.key, "line", rows.lines, file.part)
    return RawData((origin,), table=table, text=True, headers=header.written, notes=tuple(notes))


def _uncomment(rows: _Rows, layout: Layout, file: SourceFile) -> list[str]:
    """Take the mark of a comment from a header that was written as one; return a note."""
    first = rows.fields[0]
    below = len(rows.fields[1]) if len(rows.fields) > 1 else 0
    if layout.sep == WHITESPACE and first[0] == "#" and len(first) == below + 1:
        rows.fields[0] = first[1:]
    elif first[0].startswith("# ") and len(first) == below:
        rows.fields[0] = [first[0][1:].strip(), *first[1:]]
    else:
        return []
    name = rows.fields[0][0]
    return [f'the header of {file.name} is written as a comment: its first name is read as "{name}", without #']


def _iterate_rows(
    text: io.TextIOWrapper, layout: Layout, file: SourceFile, notes: list[str]
) -> Iterator[tuple[list[str], int]]:
    """Yield the fields and the first line of all rows that are not blank, the header among them."""
    lines, line, is_noted = _NumberedLines(text, layout), 1, False
    csv.field_size_limit(_LONGEST_FIELD)
    try:
        for fields in layout.read_fields(iter(lines)):  # type: ignore[attr-defined]
            start = lines.take_first()
            if fields and (len(fields) > 1 or fields[0].strip()):
                if lines.last > start and not is_noted and _holds_rows(fields, layout):
                    notes.append(_note_joined(start, lines.last, file))
                    is_noted = True
                line = start
                yield fields, start
    except csv.Error as error:
        start = lines.take_first()
        raise _explain_error(error, start, lines.last, file) from None
    if lines.is_cut:
        raise _explain_quote(line, file)


def _holds_rows(fields: Sequence[str], layout: Layout) -> bool:
    """Return whether a line within quotes has as many fields as the row: a stray quote may have joined two rows."""
    within = [line for cell in fields if "\n" in cell for line in cell.split("\n")]
    return len(fields) > 1 and any(line.count(layout.sep) == len(fields) - 1 for line in within)


def _note_joined(first: int, last: int, file: SourceFile) -> str:
    quotes = "a quote opens in the first and ends in the last; if it is no quote, double or remove it"
    return f"lines {first} to {last} of {file.name} are one row, because {quotes}"


class _NumberedLines:
    """Lines of a file without those that are left out; knows the first line of the row that is being read.

    Attributes:
        last: the last line of the row.
        is_cut: whether the file ended within a quoted field.
    """

    def __init__(self, text: io.TextIOWrapper, layout: Layout) -> None:
        self._text = text
        self._layout = layout
        self._first = 0
        self.last = 0
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
            self.last = number
            yield line
        self.is_cut = self._first > 0

    def take_first(self) -> int:
        """Return the first line of the row that was read."""
        first, self._first = self._first, 0
        return first


def _clean(rows: _Rows, header: _Header, file: SourceFile, *, is_first: bool) -> list[str]:
    """Take what is no row from the rows; return notes."""
    width = len(header.heading.names)
    kept, repeated, empty, wrong = _Rows(), [], [], _Rows()
    for fields, line in zip(rows.fields, rows.lines, strict=True):
        if fields == header.fields:
            repeated.append(line)
        # A spreadsheet may write thousands of them below its last row.
        elif not any(map(str.strip, fields)):
            empty.append(line)
        else:
            group = kept if len(fields) == width else wrong
            group.fields.append(fields)
            group.lines.append(line)
    if wrong.lines and not file.spec.skip_broken:
        below = len(wrong.lines) if kept.lines and wrong.lines[0] > kept.lines[-1] else 0
        raise _explain_fields(wrong, is_first and not kept.lines, header.heading, file, below)
    rows.fields[:], rows.lines[:] = kept.fields, kept.lines
    left_out = (
        (repeated, "repeat the header"),
        (empty, "hold no value"),
        (wrong.lines, "have too many or too few fields (data.skip_broken)"),
    )
    return [
        f"lines of {file.name} that {words} are left out: {list_lines(lines)}" for lines, words in left_out if lines
    ]


def _explain_fields(wrong: _Rows, are_all: bool, heading: Heading, file: SourceFile, below: int) -> InputError:
    """Return the error for rows with other numbers of fields than the header, of which `below` end the table."""
    fields, line = wrong.fields[0], wrong.lines[0]
    got = "1 field" if len(fields) == 1 else f"{len(fields)} fields"
    like = "as data.names" if file.spec.names else "as in the first row" if heading.is_row else "as in the header"
    more = f" ({len(wrong.lines)} such lines: {list_lines(wrong.lines)})" if len(wrong.lines) > 1 else ""
    advice = "correct it, or set data.skip_broken: true to leave such lines out"
    if below:
        advice = f"if the table ends above, set data.skipfooter: {below}; else {advice}"
    if are_all and len(set(map(len, wrong.fields))) == 1:
        advice = f"if the header lacks names, set data.names to all {len(fields)}, and data.header: first"
    if fields[0].startswith(("#", "//", "%")):
        advice = f'if it is a comment, set data.comment: "{fields[0].lstrip()[0]}"'
    message = f"line {line} of {file.name} has {got}, expected {len(heading.names)} {like}{more}; {advice}"
    return file.refuse(message)


def _explain_error(error: csv.Error, first: int, last: int, file: SourceFile) -> InputError:
    """Return the error for a row from its first to its last line that Python's reader refuses."""
    if "field larger" not in str(error):
        return file.refuse(f"line {first} of {file.name} cannot be read: {error}")
    if last > first:
        return _explain_quote(first, file)
    long = f"line {first} of {file.name} has a field of more than {_LONGEST_FIELD:,} letters"
    return file.refuse(f"{long}; expected a table with a line for each row: check data.sep and the line ends")


def _explain_quote(line: int, file: SourceFile) -> InputError:
    message = f"the row from line {line} of {file.name} opens a quote that is not closed; close or remove the quote"
    return file.refuse(message)


def list_lines(lines: Sequence[int]) -> str:
    """Return the first lines, and the number of the others."""
    shown = ", ".join(map(str, lines[:MOST_LISTED]))
    return shown if len(lines) <= MOST_LISTED else f"{shown} and {len(lines) - MOST_LISTED} more"
