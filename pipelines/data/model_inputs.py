"""Input description of a deployed model for MLflow, with a few example rows; a file in the prepared folder.

The rows are validation rows in the form of their source: a date is text and a missing value is null, not the numbers
of the exported model's inputs.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final

from pipelines.data.array_types import Array
from pipelines.data.examples.structures import flatten
from pipelines.data.prepared import DataSummary
from pipelines.data.raw_inputs import arrange_names
from tracking.mlflow.cell_values import CellForm
from tracking.mlflow.list_values import list_words
from tracking.mlflow.model_folder import Columns, InputColumn, ModelDescription, TensorDescription
from tracking.mlflow.picture_values import write_data_uri
from tracking.mlflow.time_values import write_time

_FILE: Final = "model_inputs.json"
_EXAMPLE_ROWS: Final = 3
_MOST_EXAMPLE_VALUES: Final = 10_000  # an image of 100 x 100; the example is stored as text


def write_model_inputs(folder: Path, summary: DataSummary, rows: Mapping[str, Array]) -> None:
    """Write the file that `read_model_description` reads.

    Args:
        folder: folder of the prepared data.
        summary: its summary.
        rows: raw inputs, [row, ...] each; the first few become the example.
    """
    # An array, of whatever shape, is no column.
    columns = list(summary.raw) if all(column.column for column in summary.raw) else []
    # A ragged or sparse input has no form in a signature.
    plain = summary.given is None or all(leaf.form in ("array", "text") for leaf in flatten(summary.given.x))
    tensors = [] if columns or not plain else list(summary.raw)
    content = {
        "task": summary.task.to_metadata(),
        "outputs": summary.task.outputs,
        "heads": [{"name": head.output, "dtype": "float32", "shape": [head.outputs]} for head in summary.task.heads],
        "tensors": [{"name": each.name, "dtype": each.dtype, "shape": each.shape} for each in tensors],
        "columns": [
            {
                **{"name": each.column, "input": each.name, "kind": each.kind, "dtype": each.dtype},
                **{"header": each.header, "form": asdict(each.form), "shape": each.shape},
            }
            for each in columns
        ],
        "takes": arrange_names(summary),
        "series": None if summary.windows is None else asdict(summary.windows),
        # A model of series takes a table, of which a few rows are no window.
        "example": {}
        if summary.windows is not None
        else _make_column_example(summary, rows)
        if columns
        else _make_array_example(rows),
    }
    # NaN is no JSON: MLflow and other readers would refuse it.
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    (folder / _FILE).write_text(text + "\n", encoding="utf-8")


def read_model_description(folder: Path) -> ModelDescription | None:
    """Return MLflow's description of a study's models; None if `folder` has no such file."""
    try:
        read = json.loads((folder / _FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    columns = tuple(
        InputColumn(**{**column, "form": CellForm.from_json(column["form"]), "shape": tuple(column["shape"])})
        for column in read["columns"]
    )
    # Only a user model's own output is not known from the task.
    only = [TensorDescription("", "float32", (read["outputs"],))] if read["outputs"] else []
    # An earlier version had no heads.
    outputs = _read_tensors(read.get("heads", ())) or tuple(only)
    return ModelDescription(
        inputs=_read_tensors(read["tensors"]),
        outputs=outputs,
        columns=Columns(columns) if columns else None,
        example=read["example"] or None,
        task=read["task"],
        takes=read["takes"],
        series=read.get("series"),
        heads=_order_heads(read["task"]),
    )


def describe_user_model(
    described: ModelDescription, shapes: Mapping[str, Sequence[int | None]], outputs: Sequence[Mapping[str, Any]]
) -> ModelDescription:
    """Return the description of a study's models with what one of them takes and gives.

    Args:
        described: what `read_model_description` returns.
        shapes: of a row of each raw input; None for an axis that the model leaves open.
        outputs: name, shape and type of each.
    """
    found = _read_tensors(outputs)
    return replace(
        described,
        # What a user model's outputs mean is its code's affair.
        heads=(),
        inputs=tuple(replace(each, shape=tuple(shapes.get(each.name, each.shape))) for each in described.inputs),
        # MLflow's name of a single output would be the key of an answer that is no dict.
        outputs=found if len(found) != 1 else (replace(found[0], name=""),),
    )


def _order_heads(task: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    """Return the heads of a task in the order of its targets."""
    heads = {head["targets"][0]: head for head in task.get("heads", ())}
    return tuple(heads[target] for target in task["targets"] if target in heads)


def _read_tensors(read: Sequence[Mapping[str, Any]]) -> tuple[TensorDescription, ...]:
    return tuple(TensorDescription(each["name"], each["dtype"], tuple(each["shape"])) for each in read)


def _make_column_example(summary: DataSummary, rows: Mapping[str, Array]) -> dict[str, list[Any]]:
    has_large = any(math.prod(each.shape) > _MOST_EXAMPLE_VALUES for each in summary.raw)
    count = 1 if has_large else _EXAMPLE_ROWS
    return {
        each.column: [_restore_source_value(value, each.kind, each.form) for value in _list(rows[each.name][:count])]
        for each in summary.raw
    }


def _make_array_example(rows: Mapping[str, Array]) -> dict[str, list[Any]]:
    """Return one row of each array; nothing if the arrays are too large to read."""
    if sum(values[:1].size for values in rows.values()) > _MOST_EXAMPLE_VALUES:
        return {}
    return {name: [_replace_nonfinite(value) for value in values[:1].tolist()] for name, values in rows.items()}


def _list(values: Array) -> list[Any]:
    return list(values) if values.ndim > 1 else values.tolist()


def _restore_source_value(value: Any, kind: str, form: CellForm) -> Any:
    if kind == "string":
        return value or None
    if kind == "image":
        # JSON has no bytes, and a path would hold on one machine only.
        return write_data_uri(value)
    if kind == "word_list":
        return list_words(value)
    if kind == "number_list":
        return _replace_nonfinite(value.tolist())
    if math.isnan(value):
        return None
    if kind == "boolean":
        return value == 1.0
    if kind != "date":
        return value
    return write_time(value, form.date_format, form.unit)


def _replace_nonfinite(value: Any) -> Any:
    if isinstance(value, list):
        return [_replace_nonfinite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
