"""JSON files of rows: a record a line, or one document of records or columns as pandas writes them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from pipelines.data.raw import Origin, RawData
from pipelines.data.reading.csv_files import list_lines
from pipelines.data.reading.heading import list_targets
from pipelines.data.reading.nested_records import flatten_records
from pipelines.data.reading.source_file import SourceFile
from pipelines.data.reading.source_paths import find_suffix
from pipelines.data.reading.tabular_files import convert_frame
from pipelines.data.reading.text_encoding import find_encoding

_FORMS = 'a list of records, such as [{"a": 1}, {"a": 2}], one record a line, or columns, such as {"a": [1, 2]}'
_MOST_LEVELS = 5  # around the records of a document


def read_json(file: SourceFile) -> RawData:
    """Return the rows of a JSON file; a key that a record lacks is missing there.

    Raises:
        InputError: if it is no JSON, with the line, or holds no rows.
    """
    encoding = find_encoding(file)
    with file.open_text(encoding.name) as opened:
        text = opened.read()
    whole = None if find_suffix(file.name).startswith((".jsonl", ".ndjson")) else _read_document(text, file)
    raw = _read_lines(text, file) if whole is None else _read_whole(whole, file)
    return RawData(raw.origins, table=raw.table, notes=(*encoding.notes, *raw.notes))


def _read_document(text: str, file: SourceFile) -> Any:
    """Return the document; None where the file holds several, one a line."""
    try:
        return _parse(text)
    except json.JSONDecodeError as error:
        if error.msg == "Extra data":
            return None
        raise file.refuse(
            f"line {error.lineno} of {file.name} is no JSON: {error.msg} (column {error.colno})"
        ) from None
    except ValueError as error:
        raise file.refuse(f"{file.name} cannot be read: {error}") from None


def _read_lines(text: str, file: SourceFile) -> RawData:
    records: list[Mapping[str, Any]] = []
    lines: list[int] = []
    broken: list[tuple[int, str]] = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            record = _parse(line)
        except ValueError as error:
            broken.append((number, getattr(error, "msg", str(error))))
            continue
        if not isinstance(record, Mapping):
            broken.append((number, f'expected a record such as {{"a": 1}}, got {line.strip()[:40]}'))
            continue
        records.append(record)
        lines.append(number)
    if broken and not file.spec.skip_broken:
        number, reason = broken[0]
        more = f" ({len(broken)} such lines: {list_lines([each for each, _ in broken])})" if len(broken) > 1 else ""
        advice = "correct it, or set data.skip_broken: true to leave such lines out"
        raise file.refuse(f"line {number} of {file.name} is no record in JSON: {reason}{more}; {advice}")
    if not records:
        raise file.refuse(f"{file.name} has no rows; expected {_FORMS}")
    origin = Origin(file.name, file.key, "line", lines, file.part)
    flat, notes = flatten_records(records, origin, file)
    raw = convert_frame(_make_table(flat), file.name, file.key, file.part)
    listed = list_lines([number for number, _ in broken])
    left_out = f"lines of {file.name} that are no JSON are left out (data.skip_broken): {listed}"
    return RawData((origin,), table=raw.table, notes=(left_out, *notes) if broken else notes)


def _read_whole(read: Any, file: SourceFile) -> RawData:
    notes: tuple[str, ...] = ()
    if isinstance(read, Mapping):
        read = _unwrap(read)
    if isinstance(read, Mapping) and (found := _find_records(read)) is not None:
        key, read = found
        notes = (f'the rows of {file.name} are the records under "{key}"',)
    elif isinstance(read, Mapping) and _has_rows_by_key(read, file):
        read, notes = list(read.values()), (f"each key of {file.name} is a row; the keys themselves are left out",)
    if isinstance(read, list) and read and _are_records(read):
        flat, more = flatten_records(read, Origin(file.name, file.key, "row", range(1, len(read) + 1)), file)
        table, notes = _make_table(flat), (*notes, *more)
    elif isinstance(read, Mapping) and read and all(isinstance(column, list | Mapping) for column in read.values()):
        table = _read_columns(read, file)
    else:
        raise file.refuse(f"expected {_FORMS}; got another form in {file.name}")
    raw = convert_frame(table, file.name, file.key, file.part)
    return RawData(raw.origins, table=raw.table, notes=notes)


def _find_records(read: Mapping[str, Any], level: int = 0) -> tuple[str, Any] | None:
    """Return the only list of records of a document, as interfaces of the web wrap them, and the path to it."""
    found = [(key, value) for key, value in read.items() if isinstance(value, list) and value and _are_records(value)]
    lists = [key for key, value in read.items() if isinstance(value, list)]
    if lists or level == _MOST_LEVELS:
        return found[0] if len(found) == len(lists) == 1 else None
    inner = [
        (f"{key}.{path[0]}", path[1])
        for key, value in read.items()
        if isinstance(value, Mapping) and (path := _find_records(value, level + 1)) is not None
    ]
    return inner[0] if len(inner) == 1 else None


def _has_rows_by_key(read: Mapping[str, Any], file: SourceFile) -> bool:
    """Return whether a document holds a record under each key, by the names of columns that are known."""
    if not read or not _are_records(list(read.values())):
        return False
    names = {*(list_targets(file.spec) or file.columns), *file.columns}
    within = {name for record in read.values() for name in record}
    return bool(names & within) and not names & set(read)


def _are_records(values: Sequence[Any]) -> bool:
    return all(isinstance(value, Mapping) for value in values)


def _unwrap(read: Mapping[str, Any]) -> Any:
    """Return the rows of the forms in which pandas writes them beside a description."""
    if set(read) == {"columns", "index", "data"}:
        return [dict(zip(map(str, read["columns"]), row, strict=False)) for row in read["data"]]
    if set(read) >= {"schema", "data"} and isinstance(read["data"], list):
        key = next(iter(read["schema"].get("primaryKey", [])), None)
        return [{name: value for name, value in record.items() if name != key} for record in read["data"]]
    return read


def _read_columns(read: Mapping[str, Any], file: SourceFile) -> pd.DataFrame:
    if all(isinstance(column, Mapping) for column in read.values()):
        return pd.DataFrame({name: pd.Series(column, dtype=object) for name, column in read.items()}).infer_objects()
    lengths = {name: len(column) for name, column in read.items()}
    if len(set(lengths.values())) > 1:
        shown = ", ".join(f'"{name}" {length}' for name, length in list(lengths.items())[:5])
        raise file.refuse(f"expected columns of one length in {file.name}, got {shown}")
    return pd.DataFrame({name: pd.Series(list(column), dtype=object) for name, column in read.items()}).infer_objects()


def _make_table(records: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    names = list(dict.fromkeys(name for record in records for name in record))
    columns = {name: pd.Series([record.get(name) for record in records], dtype=object) for name in names}
    return pd.DataFrame(columns).infer_objects()


def _parse(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_refuse_doubled)
    except RecursionError:
        raise ValueError("its values are nested deeper than can be read") from None


def _refuse_doubled(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # The json module keeps the last of two values without a word.
    made = dict(pairs)
    if len(made) < len(pairs):
        names = [name for name, _ in pairs]
        doubled = next(name for name in names if names.count(name) > 1)
        raise ValueError(f'the key "{doubled}" stands twice in one record')
    return made
