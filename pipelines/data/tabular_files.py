"""CSV and Parquet files as tables.

All cells of a CSV are read as text, because pandas' guesses lose information: a class with the name "NA" becomes
missing, a row with a field too many shifts all columns by one, and a column of mixed types becomes objects. Types
are inferred in `columns`.
"""

from __future__ import annotations

import csv
from pathlib import Path

import pandas as pd

from pipelines.data.raw import GivenPart, Origin, RawData
from search_spaces.errors import InputError, Problem

DELIMITERS = (",", ";", "\t", "|")


def read_csv(path: Path, name: str, key: str, part: GivenPart | None = None) -> RawData:
    """Return the rows of a CSV file (comma, semicolon, tab or bar between fields; UTF-8; a header line).

    Raises:
        InputError: if it is empty, is not UTF-8 text, has a doubled column, or a row whose fields do not fit the
            header; with the line as an editor counts it.
    """
    try:
        delimiter, header, lines = _scan_csv(path, key)
    except UnicodeDecodeError as error:
        message = f"{name} is not UTF-8 text (byte {error.start} cannot be read); save it as UTF-8"
        raise InputError(Problem(message, key)) from None
    except csv.Error as error:
        raise InputError(Problem(f"{name} cannot be read as CSV: {error}", key)) from None
    if not lines:
        raise InputError(Problem(f"{name} has no rows below its header", key))
    table = pd.read_csv(
        path,
        sep=delimiter,
        header=0,
        names=[field.strip() for field in header],
        index_col=False,  # else pandas takes a surplus first field as the index
        dtype=object,
        na_filter=False,
        encoding="utf-8-sig",
        skip_blank_lines=True,
        low_memory=False,
    )
    # Two parsers read the file: places of errors come from the first, cells from the second.
    if len(table) != len(lines):
        message = f"{name} has {len(lines)} rows, but pandas reads {len(table)}; check its quotes"
        raise InputError(Problem(message, key))
    headers = {written.strip(): written for written in header if written != written.strip()}
    return RawData((Origin(name, key, "line", lines, part),), table=table, text=True, headers=headers)


def read_parquet(path: Path, name: str, key: str, part: GivenPart | None = None) -> RawData:
    """Return the rows of a Parquet file.

    Raises:
        InputError: if it is not Parquet, is empty, or has a doubled column.
    """
    try:
        table = pd.read_parquet(path)
    except (ValueError, OSError) as error:
        first = str(error).splitlines()[0]
        raise InputError(Problem(f"{name} cannot be read as Parquet: {first}", key)) from None
    return convert_frame(table, name, key, part)


def convert_frame(table: pd.DataFrame, name: str, key: str, part: GivenPart | None = None) -> RawData:
    """Return the rows of a DataFrame, without its index.

    Raises:
        InputError: if it is empty or has a doubled column.
    """
    table = table.reset_index(drop=True)
    table.columns = pd.Index([str(column) for column in table.columns], dtype=object)
    _check_header([str(column) for column in table.columns], name, key)
    if table.empty:
        raise InputError(Problem(f"{name} has no rows", key))
    return RawData((Origin(name, key, "row", range(1, len(table) + 1), part),), table=table)


def _scan_csv(path: Path, key: str) -> tuple[str, list[str], list[int]]:
    """Return the delimiter, the header as written and each row's first line, after a check of each row's fields."""
    # utf-8-sig: spreadsheets begin a file with a byte order mark.
    with path.open(encoding="utf-8-sig", newline="") as file:
        first = next((line for line in file if line.strip()), "")
        # By the header alone: cells may contain any of the marks, as in 1,5.
        delimiter = max(DELIMITERS, key=lambda mark: len(next(csv.reader([first], delimiter=mark), [])))
        file.seek(0)
        reader = csv.reader(file, delimiter=delimiter)
        header: list[str] | None = None
        lines: list[int] = []
        end = 0
        for fields in reader:
            # A quoted field may contain line breaks, so a row can be several lines.
            start, end = end + 1, reader.line_num
            if not fields or (len(fields) == 1 and not fields[0].strip()):
                continue
            if header is None:
                header = fields
            elif len(fields) != len(header):
                message = (
                    f"line {start} of {path.name} has {len(fields)} fields, expected {len(header)} as in the header"
                )
                raise InputError(Problem(message, key))
            else:
                lines.append(start)
    if header is None:
        raise InputError(Problem(f"{path.name} is empty; expected a header line and rows", key))
    _check_header([field.strip() for field in header], path.name, key)
    return delimiter, header, lines


def _check_header(header: list[str], name: str, key: str) -> None:
    doubled = sorted({column for column in header if header.count(column) > 1})
    if doubled:
        raise InputError(Problem(f'{name} has the column "{doubled[0]}" more than once; rename one', key))


def select_column(table: pd.DataFrame, name: str) -> pd.Series:
    """Return one column of a table whose columns are known to be unique."""
    return table[name]
