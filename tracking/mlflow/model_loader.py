"""Loader of the Keras model in an MLflow model's folder, for `mlflow.pyfunc`.

This file is copied into that folder, beside the readers of cells, and runs wherever the model is loaded, without
kerastudy. It reads a table's text as `pipelines.data.columns.column_reading` does for training, by the functions of
that file.
"""

import datetime
import importlib.util
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

# Relative: beside this file in kerastudy and in the model's folder, where the package has another name.
from .cell_values import MISSING_WORDS, CellForm, count_days, list_missing_numbers, read_words, write_word
from .head_answers import name_answers
from .list_values import join_words, read_number_list
from .picture_values import read_picture_cell
from .series_values import cut_newest_windows

# Keras, TensorFlow and pandas are imported where they are used: kerastudy imports this module only for its path.
_ROWS_AT_ONCE = 1024
_WIDE = ("image", "number_list", "word_list")
_EXPECTED = {"numeric": "a number", "boolean": "true or false", "date": "a date such as 2024-05-01"}


class KerasOnRawColumns:
    """Keras model that predicts from a table, or from a dict of columns or tensors.

    Args:
        model: the model.
        columns: columns of its table; empty for tensors.
        missing_values: further words for "missing".
        tensors: types of its tensors by name; those of the model's inputs where None.
        takes: the structure of its input with names for leaves; None for a dict by name.
        outputs: names of its outputs in the order of Keras's `flatten`.
        series: facts of the windows of a table of series; None for other models.
        heads: of each of several targets with a head, what `name_answers` takes; empty for other models.
    """

    def __init__(
        self,
        model: Any,
        columns: list[dict[str, Any]],
        missing_values: list[str],
        tensors: dict[str, str] | None = None,
        takes: Any = None,
        outputs: list[str] | None = None,
        series: dict[str, Any] | None = None,
        heads: list[dict[str, Any]] | None = None,
    ) -> None:
        self._model = model
        self._columns = columns
        self._missing = frozenset(missing_values)
        self._tensors = tensors
        self._takes = takes
        self._outputs = outputs or []
        self._series = series
        self._heads = heads or []
        self._call: Any = None

    def predict(self, model_input: Any, params: Any = None) -> Any:
        """Return the predictions [row, ...]; a dict of them by name where the model has several outputs.

        Of a table of series that is a table: the series, the time and the forecast of each row after the newest ones.
        Of several targets with a head each it is a table, with a column for each target in its unit or by its labels.

        Raises:
            MlflowException: if a column is missing, or a value is of another kind than its column; MLflow's server
                shows its message to the client.
        """
        import pandas as pd
        from mlflow.exceptions import MlflowException

        if self._series is not None and not self._are_windows(model_input):
            try:
                rows, values, _ = self.forecast(_make_table(model_input, []))
            except ValueError as error:
                raise MlflowException.invalid_parameter_value(str(error)) from None
            return _join_forecast(rows, values, self._series["targets"])
        if self._columns:
            try:
                tensors = self._make_tensors(_make_table(model_input, self._columns))
            except ValueError as error:
                raise MlflowException.invalid_parameter_value(str(error)) from None
            return self.predict_tensors(tensors)
        if isinstance(model_input, pd.DataFrame):
            model_input = {name: _stack(model_input[name]) for name in model_input.columns}
        if not isinstance(model_input, dict):
            return self._name_outputs(self._predict(model_input))
        if self._takes is not None and self._tensors:
            given = {name: _convert(model_input[name], dtype) for name, dtype in self._tensors.items()}
            return self.predict_tensors(given)
        wanted = {tensor.name: tensor for tensor in self._model.inputs}
        return self.predict_tensors({name: _make_tensor(model_input[name], tensor) for name, tensor in wanted.items()})

    def forecast(self, table: Any) -> tuple[Any, Any, tuple[str, ...]]:
        """Return the forecasts that follow the newest rows of each series of a table.

        Returns:
            A table with series and time of each predicted row; the model's outputs [series, ...]; notes.

        Raises:
            ValueError: if the rows cannot be used.
        """
        import tensorflow as tf

        assert self._series is not None
        newest = cut_newest_windows(table, self._series, self._read_cells)
        tensors = {
            # Keras refuses NumPy arrays of strings.
            name: tf.constant(values.tolist(), tf.string) if values.dtype == object else tf.constant(values)
            for name, values in newest.inputs.items()
        }
        return newest.rows, self.predict_tensors(tensors), newest.notes

    def _are_windows(self, model_input: Any) -> bool:
        """Return whether a dict holds the arrays of windows that the model itself takes."""
        return isinstance(model_input, dict) and {each.name for each in self._model.inputs} == set(model_input)

    def predict_tensors(self, tensors: dict[str, Any]) -> Any:
        """Return the predictions for tensors by the names of the raw inputs."""
        return self._name_outputs(self._predict(tensors if self._takes is None else _arrange(self._takes, tensors)))

    def _name_outputs(self, answer: Any) -> Any:
        import keras

        if self._heads:
            return name_answers(self._heads, answer)
        leaves = keras.tree.flatten(answer)
        if len(leaves) == 1 or len(leaves) != len(self._outputs):
            return leaves[0] if len(leaves) == 1 else answer
        return dict(zip(self._outputs, leaves, strict=True))

    def _predict(self, inputs: Any) -> Any:
        """Return the model's outputs for any number of rows.

        A compiled function calls the model: `Model.predict` takes 70 ms to start, even for one row.
        """
        import keras
        import tensorflow as tf

        # `reduce_retracing` makes the number of rows unknown, instead of a further trace for each number.
        if self._call is None:
            self._call = tf.function(lambda rows: self._model(rows, training=False), reduce_retracing=True)
        tree = keras.tree
        inputs = tree.map_structure(tf.convert_to_tensor, inputs)
        rows = int(tree.flatten(inputs)[0].shape[0])
        # Parts of a limited size keep the memory of a large table low.
        parts = [
            self._call(tree.map_structure(lambda tensor, at=at: tensor[at : at + _ROWS_AT_ONCE], inputs))
            # At least once, so that no rows give an output of the right shape.
            for at in range(0, max(rows, 1), _ROWS_AT_ONCE)
        ]
        return tree.map_structure(lambda *some: np.concatenate([np.asarray(part) for part in some]), *parts)

    def _make_tensors(self, table: Any) -> dict[str, Any]:

        written = {column["header"]: column["name"] for column in self._columns if column.get("header")}
        table = table.rename(columns=written)
        lacking = [column["name"] for column in self._columns if column["name"] not in table]
        if lacking:
            raise ValueError(f"these columns are missing: {', '.join(lacking)}")
        return {column["input"]: self._make_tensor_of(table[column["name"]], column) for column in self._columns}

    def _make_tensor_of(self, cells: Any, column: dict[str, Any]) -> Any:
        """Return a table's column as the model's input; text in the form that training read it in."""
        import tensorflow as tf

        name, kind, dtype = column["name"], column["kind"], column.get("dtype", "float32")
        form = CellForm.from_json(column.get("form") or {})
        if kind in _WIDE:
            return _make_wide_tensor(cells, column, form)
        values = self._read_cells(cells, column)
        return tf.constant(values.tolist(), tf.string) if kind == "string" else _convert_numbers(values, dtype, name)

    def _read_cells(self, cells: Any, column: Mapping[str, Any]) -> Any:
        """Return a column's cells as numbers with NaN for missing ones, or as words with "" for these."""
        name, kind = column["name"], column["kind"]
        form = CellForm.from_json(column.get("form") or {})
        # pandas' nullable types hold NA, which NumPy's have no value for: they go value by value below.
        if (
            kind != "string"
            and not (form.date_format or form.unit)
            and isinstance(cells.dtype, np.dtype)
            and cells.dtype.kind in "biuf"
        ):
            _check_thousands(cells.to_numpy(), form, name)
            return self._mark_missing(cells.to_numpy(), kind, form)
        values = [None if absent else value for value, absent in zip(cells, cells.isna(), strict=True)]
        if kind == "string":
            words = [self._write_word(value, form, name, row) for row, value in enumerate(values)]
            return np.array(words, dtype=object)
        return self._mark_missing(self._parse_numbers(values, kind, name, form), kind, form)

    def _mark_missing(self, numbers: Any, kind: str, form: CellForm) -> Any:
        """Return the numbers with NaN for those that mean "missing" in training's files."""
        marked = list_missing_numbers(tuple(self._missing), form) if kind == "numeric" else []
        return np.where(np.isin(numbers, marked), np.nan, numbers) if marked else numbers

    def _write_word(self, value: Any, form: CellForm, name: str, row: int) -> str:
        """Return a category; "" for a missing one, and a whole number without its point."""
        try:
            text = write_word(value, form)
        except ValueError as error:
            raise ValueError(f'column "{name}": {error}, got {value!r} in row {row}') from None
        return "" if text in self._missing else text

    def _parse_numbers(self, values: list[Any], kind: str, name: str, form: CellForm) -> Any:
        """Return numbers, 0 and 1, or days since 1970-01-01 UTC: float64 [row], NaN for missing ones."""
        numbers = np.full(len(values), np.nan)
        words: dict[int, str] = {}
        for row, value in enumerate(values):
            word = _make_word(value, form)
            if word is None:
                numbers[row] = _convert_value(value, kind, name, row)
            elif word not in form.missing and word not in self._missing and word.lower() not in {"", *MISSING_WORDS}:
                words[row] = word
        numbers[list(words)] = read_words(list(words.values()), kind, form)
        for row, word in words.items():
            if np.isnan(numbers[row]):
                raise ValueError(f'column "{name}": expected {_describe_kind(kind, form)}, got {word!r} in row {row}')
        return numbers


def _join_forecast(rows: Any, values: Any, targets: list[str]) -> Any:
    """Return the rows with a column for each target; with the model's outputs where these are no forecasts."""
    import pandas as pd

    flat = np.asarray(values).reshape(len(values), -1)
    steps = len(rows) // max(1, len(flat))
    if flat.shape[1] == steps * len(targets):
        # Outputs are by target and then by step.
        by_step = flat.reshape(len(flat), len(targets), steps).transpose(0, 2, 1).reshape(-1, len(targets))
        return pd.concat([rows, pd.DataFrame(by_step, columns=targets)], axis=1)
    last = rows.iloc[:: max(1, steps)].reset_index(drop=True)
    names = [f"output_{index}" for index in range(flat.shape[1])]
    return pd.concat([last, pd.DataFrame(flat, columns=names)], axis=1)


def _make_wide_tensor(cells: Any, column: dict[str, Any], form: CellForm) -> Any:
    """Return a column of pictures or of lists as the model's input."""
    import tensorflow as tf

    name, kind, shape = column["name"], column["kind"], tuple(column["shape"])
    dtype = column.get("dtype", "float32")
    read: dict[str, Callable[[Any], Any]] = {
        "image": lambda cell: read_picture_cell(cell, shape),
        "number_list": lambda cell: read_number_list(cell, form, shape[0]),
        "word_list": lambda cell: join_words(cell, form),
    }
    found: list[Any] = []
    for row, cell in enumerate(cells):
        try:
            found.append(read[kind](cell))
        except ValueError as error:
            raise ValueError(f'column "{name}": {error} in row {row}') from None
    if kind == "word_list":
        return tf.constant(found, tf.string)
    values = np.stack(found) if found else np.zeros((0, *shape))
    return tf.constant(_round_to_float32(values) if dtype == "float32" else values.astype(dtype))


def _make_word(value: Any, form: CellForm) -> str | None:
    """Return a value as training's file wrote it; None for what is no text."""
    if isinstance(value, str):
        word = value.strip()
        return dict(form.replaced).get(word, word)
    if isinstance(value, datetime.time):
        return str(value)
    # A table reader takes 20200131 for a number.
    if not (form.date_format or form.unit) or isinstance(value, bool) or not isinstance(value, int | float | np.number):
        return None
    if float(value).is_integer():
        return str(int(value))
    return repr(float(value)) if form.unit else None


def _convert_value(value: Any, kind: str, name: str, row: int) -> float:
    """Return a value that is no text as a number; NaN for a missing one."""
    if value is None:
        return np.nan
    try:
        if kind == "date" and isinstance(value, datetime.date | np.datetime64):
            return _count_days(value)
        if kind == "numeric" and isinstance(value, datetime.timedelta):
            return value.total_seconds()
        return float(value)
    except (ValueError, TypeError):
        raise ValueError(f'column "{name}": expected {_EXPECTED[kind]}, got {value!r} in row {row}') from None


def _describe_kind(kind: str, form: CellForm) -> str:
    if form.duration:
        return "a duration such as 1h 30m or 01:30:00"
    if form.unit:
        return f"a date as a number ({form.unit})"
    return f'a date of the form "{form.date_format}"' if form.date_format else _EXPECTED[kind]


def _check_thousands(numbers: Any, form: CellForm, name: str) -> None:
    """Refuse numbers that a table reader took from text such as 1.203, which training read as 1203."""
    if form.thousands == "." and numbers.dtype.kind == "f":
        odd = np.flatnonzero(np.isfinite(numbers) & (numbers != np.round(numbers)))
        if len(odd):
            got = f"got {float(numbers[odd[0]])!r} in row {odd[0]}"
            advice = f"training's dots stand between thousands: read the table with dtype={{{name!r}: str}}"
            raise ValueError(f'column "{name}": expected whole numbers or text, {got}; {advice}')


def _make_table(rows: Any, columns: list[dict[str, Any]]) -> Any:
    import pandas as pd

    if isinstance(rows, dict):
        # pandas takes no array of several axes as a column.
        rows = {name: list(cells) if getattr(cells, "ndim", 1) > 1 else cells for name, cells in rows.items()}
    if not isinstance(rows, pd.DataFrame):
        return pd.DataFrame(rows)
    # MLflow turns JSON's `inputs` into one row of lists if every column is text; a list itself is no such sign.
    plain = [column["name"] for column in columns if column["kind"] not in _WIDE and column["name"] in rows]
    if len(rows) == 1 and plain and all(isinstance(value, list) for value in rows.iloc[0]):
        return pd.DataFrame({name: rows[name].iloc[0] for name in rows.columns})
    return rows


def _count_days(date: Any) -> float:
    import pandas as pd

    return float(count_days(pd.to_datetime(pd.Series([date]), utc=True))[0])


def _convert_numbers(numbers: Any, dtype: str, name: str) -> Any:
    """Return numbers as a tensor of the model's type for a column."""
    import tensorflow as tf

    if dtype.startswith("float"):
        return tf.constant(_round_to_float32(numbers), tf.float32)
    values = np.array(numbers, dtype=np.float64)
    # Of a column that had no gap in training, which a whole number or a Boolean cannot express.
    bad = np.flatnonzero(~np.isfinite(values) | (values != np.round(values)))
    if len(bad):
        raise ValueError(f'column "{name}": expected a whole number, got {float(values[bad[0]])!r} in row {bad[0]}')
    return tf.constant(values.astype(dtype))


def _round_to_float32(numbers: Any) -> Any:
    """Return the numbers with NaN for those that float32 cannot hold."""
    values = np.array(numbers, dtype=np.float64)
    return np.where(np.abs(values) <= np.finfo(np.float32).max, values, np.nan).astype(np.float32)


def _stack(column: Any) -> Any:
    """Return a column of a table as an array; its cells may be arrays."""
    values = column.to_numpy()
    is_nested = values.dtype == object and len(values) and not isinstance(values[0], str)
    return np.array(list(values)) if is_nested else values


def _convert(values: Any, dtype: str) -> Any:
    """Return values as a tensor, as training converts arrays of a type: floats become Keras's own."""
    import keras
    import tensorflow as tf

    if dtype == "string":
        return tf.constant(np.asarray(values).astype(str))
    if not hasattr(values, "nested_row_splits"):  # no ragged tensor
        values = tf.constant(np.asarray(values, dtype=dtype))
    return tf.cast(values, keras.config.floatx()) if values.dtype.is_floating else values


def _arrange(names: Any, tensors: dict[str, Any]) -> Any:
    if isinstance(names, dict):
        return {key: _arrange(each, tensors) for key, each in names.items()}
    return [_arrange(each, tensors) for each in names] if isinstance(names, list) else tensors[names]


def _make_tensor(values: Any, wanted: Any) -> Any:
    import tensorflow as tf

    values = np.asarray(values)
    # One value a row, where the model has [row, 1].
    if len(wanted.shape) == 2 and values.ndim == 1:
        values = values[:, np.newaxis]
    if wanted.dtype == "string":
        return tf.constant(values.astype(str))
    return tf.constant(values.astype(wanted.dtype))


def load_model(path: str | Path, custom_objects: Any = None, **keywords: Any) -> Any:
    """Return the Keras model of a folder by the loader in it; `mlflow.tensorflow` names the file in that folder."""
    folder = Path(path) if Path(path).is_dir() else Path(path).parent
    file = folder / "load_model.py"
    spec = importlib.util.spec_from_file_location(f"load_model_of_{folder.parent.name}", file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} cannot be imported")
    loader = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loader)
    return loader.load_model(folder)


# `mlflow.tensorflow` loads a model that needs its code by `load_model` of this name.
if __name__ in sys.modules:
    sys.modules[f"{__name__}.models"] = sys.modules[__name__]


# MLflow calls the function of this name in the loader's module.
def _load_pyfunc(path: str) -> KerasOnRawColumns:
    import keras

    folder = Path(path)
    has_code = (folder / "load_model.py").exists()
    # Predictions need neither the optimizer nor the loss.
    model = load_model(folder) if has_code else keras.saving.load_model(folder / "model.keras", compile=False)
    file = folder / "inputs.json"
    known = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {"columns": [], "missing_values": []}
    return KerasOnRawColumns(model, **known)
