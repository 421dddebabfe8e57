"""Objects within records as columns: {"user": {"age": 41}} has the column "user.age".

As `pandas.json_normalize` names them, so that a deployed model's table can be made with it. A list of objects has no
such columns: nothing shows which of its entries a row is about.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pipelines.data.raw import Origin
from pipelines.data.reading.source_file import SourceFile
from search_spaces.errors import InputError

MOST_COLUMNS = 1_000
"""Columns of nested objects, from which their keys are values rather than names, such as words with their counts."""
_MOST_LEVELS = 20
_MOST_SHOWN = 60  # letters of a value in a message
_NAMED = 3  # columns in a note
_ADVICE = "name it in data.drop, or make columns of it in a loader (loader.py:function)"

Record = Mapping[str, Any]


def flatten_records(
    records: Sequence[Record], origin: Origin, file: SourceFile
) -> tuple[Sequence[Record], tuple[str, ...]]:
    """Return records without objects in them, and a note on their columns; columns of `data.drop` stay as they are.

    Args:
        records: the records.
        origin: their places.
        file: the file, with `data.drop`.

    Raises:
        InputError: for lists of objects, values that are objects in some records only, and very many keys.
    """
    dropped = set(file.spec.drop)
    nested = _find_nested(records, dropped, origin, file)
    if not nested:
        return records, ()
    flat: list[Record] = []
    made: dict[str, None] = {}
    for row, record in enumerate(records):
        values: dict[str, Any] = {}
        for name, value in _walk(record, dropped):
            if name in nested and value is None:
                continue
            if name in nested:
                raise _explain_mixed(name, nested[name], row, value, origin, file)
            if name in values:
                message = f'{_locate(origin, row)} of {file.name} has "{name}" as a key and as an object in an object'
                raise file.refuse(f"{message}; rename one")
            values[name] = value
            if "." in name and name not in record:
                made[name] = None
        flat.append(values)
        if len(made) > MOST_COLUMNS:
            raise _explain_many(made, file)
    _keep_empty(nested, flat)
    listed = ", ".join(f'"{name}"' for name in list(made)[:_NAMED])
    more = f" and {len(made) - _NAMED} more" if len(made) > _NAMED else ""
    return flat, (f"objects in the records of {file.name} are read as columns: {listed}{more} (data.drop)",)


def _find_nested(records: Sequence[Record], dropped: set[str], origin: Origin, file: SourceFile) -> dict[str, int]:
    """Return the names under which a record holds an object, each with the first such row.

    Raises:
        InputError: for a list of objects, or objects nested too deep.
    """
    nested: dict[str, int] = {}
    for row, record in enumerate(records):
        for name, value in record.items():
            if not isinstance(value, dict | list):
                continue
            for path, inner, level in _list_objects(name, value, dropped):
                if isinstance(inner, list):
                    raise file.refuse(
                        f'column "{path}" of {file.name} holds a list of objects at {_locate(origin, row)}, '
                        f"{_show(inner)}; expected numbers, words or lists of these; {_ADVICE}"
                    )
                if level == _MOST_LEVELS:
                    raise file.refuse(
                        f'"{path[:_MOST_SHOWN]}..." of {file.name} is nested deeper than {_MOST_LEVELS} levels at '
                        f'{_locate(origin, row)}; name "{name}" in data.drop, or make columns of it in a loader'
                    )
                nested.setdefault(path, row)
    return nested


def _list_objects(name: str, value: Any, dropped: set[str], level: int = 0) -> Iterator[tuple[str, Any, int]]:
    """Yield each object of a value with its path from the record and its level, and each list that holds objects."""
    if name in dropped:
        return
    if isinstance(value, list):
        if any(isinstance(entry, dict) for entry in value):
            yield name, value, level
    elif isinstance(value, dict):
        yield name, value, level
        for key, inner in value.items() if level < _MOST_LEVELS else ():
            yield from _list_objects(f"{name}.{key}", inner, dropped, level + 1)


def _walk(record: Record, dropped: set[str], before: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the values of a record by the path to each."""
    for key, value in record.items():
        name = f"{before}{key}"
        if isinstance(value, dict) and name not in dropped:
            yield from _walk(value, dropped, f"{name}.")
        else:
            yield name, value


def _keep_empty(nested: Mapping[str, int], flat: list[Record]) -> None:
    """Keep objects without keys as a column without values, which has a note of its own."""
    names = {name for record in flat for name in record}
    for name, row in nested.items():
        if not any(each.startswith(f"{name}.") for each in names):
            flat[row] = {**flat[row], name: None}


def _explain_mixed(name: str, first: int, row: int, value: Any, origin: Origin, file: SourceFile) -> InputError:
    return file.refuse(
        f'column "{name}" of {file.name} holds an object at {_locate(origin, first)} and {_show(value)} at '
        f"{_locate(origin, row)}; expected objects in all records, or in none; correct them, {_ADVICE}"
    )


def _explain_many(made: Mapping[str, None], file: SourceFile) -> InputError:
    name = list(made)[-1]
    return file.refuse(
        f"the objects in the records of {file.name} have more than {MOST_COLUMNS:,} keys, such as "
        f'"{name[:_MOST_SHOWN]}"; if these are values and not names, {_ADVICE.replace("it", "their column", 1)}'
    )


def _locate(origin: Origin, row: int) -> str:
    return f"{origin.word} {origin.numbers[row]}"


def _show(value: Any) -> str:
    shown = json.dumps(value, ensure_ascii=False)
    return shown if len(shown) <= _MOST_SHOWN else f"{shown[:_MOST_SHOWN]}..."
