"""Files of typed columns as tables: Parquet, Feather, NumPy arrays with two axes, and frames from memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pandas as pd

from pipelines.data.raw import GivenPart, Origin, RawData
from pipelines.data.reading.source_file import SourceFile
from search_spaces.errors import InputError, Problem

_MOST_PLACES = 10


def read_parquet(file: SourceFile) -> RawData:
    """Return the rows of a Parquet file.

    Raises:
        InputError: if it is not Parquet, is empty, or has a doubled column.
    """
    try:
        table = pd.read_parquet(file.path)
    except (ValueError, OSError, NotImplementedError) as error:
        raise file.refuse(f"{file.name} cannot be read as Parquet: {describe_first_line(error)}") from None
    return convert_table(table, file)


def read_feather(file: SourceFile) -> RawData:
    """Return the rows of a Feather or Arrow file.

    Raises:
        InputError: if it is none, is empty, or has a doubled column.
    """
    try:
        table = pd.read_feather(file.path)
    except (ValueError, OSError, NotImplementedError) as error:
        raise file.refuse(f"{file.name} cannot be read as Feather: {describe_first_line(error)}") from None
    return convert_table(table, file)


def read_records(array: np.ndarray, file: SourceFile) -> RawData:
    """Return the rows of an array with named fields, or with two axes and columns named by their place."""
    if array.dtype.names:
        table = pd.DataFrame(
            {name: list(array[name]) if array[name].ndim > 1 else array[name] for name in array.dtype.names}
        )
        return convert_frame(table, file.name, file.key, file.part)
    names = file.spec.names or [f"column_{number}" for number in range(1, array.shape[1] + 1)]
    if len(names) != array.shape[1]:
        raise file.refuse(
            f"expected {array.shape[1]} names, got {len(names)}: {file.name} has so many columns", "data.names"
        )
    raw = convert_frame(pd.DataFrame(array, columns=names), file.name, file.key, file.part)
    if file.spec.names:
        return raw
    note = f"the columns of {file.name} are column_1 to column_{len(names)} (data.names)"
    return RawData(raw.origins, table=raw.table, notes=(note,))


def convert_frame(table: pd.DataFrame, name: str, key: str, part: GivenPart | None = None) -> RawData:
    """Return the rows of a DataFrame, without its index.

    Raises:
        InputError: if it is empty or has a doubled column.
    """
    table = table.reset_index(drop=True)
    table.columns = pd.Index([str(column) for column in table.columns], dtype=object)
    _check_doubled([str(column) for column in table.columns], name, key)
    if table.empty:
        raise InputError(Problem(f"{name} has no rows", key))
    return RawData((Origin(name, key, "row", range(1, len(table) + 1), part),), table=table)


def check_header(header: Sequence[str], file: SourceFile) -> None:
    """Refuse a header with a name twice.

    Raises:
        InputError: with the name and its places.
    """
    _check_doubled(header, file.name, file.key, "; rename one, or name all columns by data.names")


def describe_first_line(error: Exception) -> str:
    """Return the first line of a library's message."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def convert_table(table: pd.DataFrame, file: SourceFile) -> RawData:
    """Return the rows of a file's table; a named index is left out, with a note.

    Raises:
        InputError: if it is empty or has a doubled column.
    """
    index = [str(name) for name in table.index.names if name is not None]
    raw = convert_frame(table, file.name, file.key, file.part)
    if not index:
        return raw
    named = ", ".join(f'"{name}"' for name in index)
    note = f"the index {named} of {file.name} is left out; write it as a column if it is a feature"
    return RawData(raw.origins, table=raw.table, notes=(note,))


def _check_doubled(header: Sequence[str], name: str, key: str, advice: str = "; rename one") -> None:
    doubled = sorted(column for column, count in Counter(header).items() if count > 1)
    if doubled:
        places = [str(number) for number, column in enumerate(header, 1) if column == doubled[0]]
        several = (
            [*places[:_MOST_PLACES], f"{len(places) - _MOST_PLACES} more"] if len(places) > _MOST_PLACES else places
        )
        listed = f"columns {', '.join(several[:-1])} and {several[-1]}"
        shown = f'the column "{doubled[0]}" more than once ({listed})'
        raise InputError(Problem(f"{name} has {shown}{advice}", key))
