"""Sheets of Excel files as tables of typed cells."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final
from zipfile import BadZipFile, ZipFile

import pandas as pd

from pipelines.data.raw import Origin, RawData
from pipelines.data.reading.footer import FooterCheck
from pipelines.data.reading.heading import read_heading
from pipelines.data.reading.source_file import SourceFile
from pipelines.data.reading.tabular_files import check_header, describe_first_line
from search_spaces.errors import suggest_choice

# openpyxl checks little: a damaged sheet raises what its parts happen to raise, SyntaxError of the XML parser included.
_BROKEN: Final = (
    ValueError, OSError, LookupError, TypeError, AttributeError, SyntaxError, EOFError, NotImplementedError,
    RuntimeError, BadZipFile, zlib.error,
)  # fmt: skip


def read_excel(file: SourceFile) -> RawData:
    """Return the rows of the first sheet, or of the one that `data.sheet` names.

    Raises:
        InputError: if it is no Excel file, has no such sheet, or the sheet is no table.
    """
    sheet, cells, notes = _read_cells(file)
    skipped = file.spec.skiprows
    filled = [index for index, row in enumerate(cells) if index >= skipped and any(cell is not None for cell in row)]
    filled = filled[: len(filled) - (file.spec.skipfooter or 0)]
    if not filled:
        raise file.refuse(f'the sheet "{sheet}" of {file.name} is empty{_name_others(notes)}', "data.sheet")
    rows = [cells[index] for index in filled]
    _check_title(rows, filled[0] + 1, sheet, file)
    text = [["" if cell is None else str(cell) for cell in row] for row in rows]
    place = f'row {filled[0] + 1} of the sheet "{sheet}" of {file.name}'
    heading = read_heading(text[0], text[1:], place, file)
    check_header(heading.names, file)
    start = 0 if heading.is_row else 1
    if len(rows) == start:
        raise file.refuse(f'the sheet "{sheet}" of {file.name} has no rows below its header{_name_others(notes)}')
    footer = FooterCheck(file)
    footer.update(text[start:], f'row {filled[-1] + 1} of the sheet "{sheet}" of {file.name}')
    footer.finish()
    columns = zip(*rows[start:], strict=True)
    table = pd.DataFrame(
        {name: pd.Series(column, dtype=object) for name, column in zip(heading.names, columns, strict=True)}
    ).infer_objects()
    table.columns = pd.Index(heading.names, dtype=object)
    numbers = [index + 1 for index in filled[start:]]
    written = [] if heading.is_row or file.spec.names else text[0]
    headers = {name.strip(): name for name in written if name.strip() and name != name.strip()}
    origin = Origin(file.name, file.key, "row", numbers, file.part)
    return RawData((origin,), table=table, headers=headers, notes=(*notes, *heading.notes))


def _read_cells(file: SourceFile) -> tuple[str, list[list[Any]], tuple[str, ...]]:
    """Return a sheet's name, its cells with None for empty ones, and a note if there are other sheets."""
    try:
        with pd.ExcelFile(file.path, engine="openpyxl") as book:
            sheets = [str(name) for name in book.sheet_names]
            sheet = file.spec.sheet or sheets[0]
            if sheet not in sheets:
                message = f'{file.name} has no sheet "{sheet}"; {suggest_choice(sheet, sheets)}'
                raise file.refuse(message, "data.sheet")
            # Only empty cells are missing: "NA" may be a class.
            table = pd.read_excel(book, sheet, header=None, dtype=object, keep_default_na=False, na_values=[""])
        ranges = _list_merged(file.path, sheet)
    except _BROKEN as error:
        reason = describe_first_line(error)
        raise file.refuse(f"{file.name} cannot be read as an Excel file: {reason}; save it as CSV") from None
    cells = table.astype(object).where(table.notna(), None).to_numpy(dtype=object).tolist()
    merged = _fill_merged(cells, ranges, sheet, file)
    others = ", ".join(f'"{name}"' for name in sheets if name != sheet)
    note = f'the sheet "{sheet}" of {file.name} is read, not {others} (data.sheet)'
    return sheet, cells, (*((note,) if others and file.spec.sheet is None else ()), *merged)


def _fill_merged(
    cells: list[list[Any]], merged: Sequence[tuple[int, int, int, int, str]], sheet: str, file: SourceFile
) -> tuple[str, ...]:
    """Write the value of cells of one column that are merged over rows into each of these, and return a note.

    A file holds such a value in the first of its rows. What is merged in the first row belongs to names.
    """
    ranges = [each for each in merged if each[0] == each[1] and each[2] > file.spec.skiprows + 1]
    for column, _, top, bottom, _ in ranges:
        for row in range(top, min(bottom, len(cells))):
            cells[row][column - 1] = cells[top - 1][column - 1]
    if not ranges:
        return ()
    more = f" and {len(ranges) - 1} more" if len(ranges) > 1 else ""
    return (
        f'the sheet "{sheet}" of {file.name} has merged cells ({ranges[0][-1]}{more}), whose value is that of each of '
        "their rows; if only the first has it, separate them in the file",
    )


def _list_merged(path: Path, sheet: str) -> list[tuple[int, int, int, int, str]]:
    """Return the merged ranges of a sheet: first and last column, first and last row, from 1, and the name."""
    with ZipFile(path) as packed:
        parts = [name for name in packed.namelist() if name.startswith("xl/worksheets/")]
        # Only few files have some, and listing them takes a second reading of the whole book.
        if not any(b"<mergeCell " in packed.read(name) for name in parts):
            return []
    with pd.ExcelFile(path, engine="openpyxl", engine_kwargs={"read_only": False}) as book:
        ranges = book.book[sheet].merged_cells.ranges
        return sorted((each.min_col, each.max_col, each.min_row, each.max_row, str(each.coord)) for each in ranges)


def _name_others(notes: Sequence[str]) -> str:
    """Return the note on other sheets as the end of a message."""
    return "".join(f"; {note}" for note in notes)


def _check_title(rows: Sequence[Sequence[Any]], number: int, sheet: str, file: SourceFile) -> None:
    """Refuse a line of text above the table: the names of its columns stand below."""
    counts = [sum(cell is not None for cell in row) for row in rows]
    if len(rows) > 2 and counts[0] == 1 and min(counts[1:3]) > 1:
        title = next(cell for cell in rows[0] if cell is not None)
        message = f'row {number} of the sheet "{sheet}" of {file.name} holds a title alone: "{title}"'
        raise file.refuse(f"{message}; remove what stands above the table, or set data.skiprows: {number}")
