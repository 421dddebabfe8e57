"""Sources of values in place of files of columns: `.npz` files and loader functions.

A loader may return what `Model.fit` takes: arrays, tensors, or nested dicts, lists and tuples of them, as x, (x, y) or
(x, y, sample_weight); a dataset or a generator; a DataFrame; or a dict of parts made of any of these.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import pandas as pd

from pipelines.data.array_types import Array
from pipelines.data.examples.datasets import is_dataset, read_dataset, split_element
from pipelines.data.examples.examples import Examples, read_examples
from pipelines.data.examples.structures import flatten
from pipelines.data.raw import PARTS, GivenPart, Origin, RawData, combine
from pipelines.data.reading.tabular_files import convert_frame
from pipelines.spec.code_errors import describe_error
from pipelines.spec.code_references import load_function, split_reference
from search_spaces.errors import InputError, Problem, suggest_choice

_FAMILY_ADVICE = "a model of yours takes it as it is (model: file.py:build)"


def read_npz(path: Path, name: str, key: str, part: GivenPart | None = None) -> RawData:
    """Return the rows of a `.npz` file: arrays `x`, `y` and `sample_weight`, or `x_train`, `y_train` and so on.

    Raises:
        InputError: if the arrays are not there, hold Python objects, or differ in length.
    """
    try:
        # Pickled objects would run their code while they are loaded.
        with np.load(path, allow_pickle=False) as file:
            arrays = {str(word): file[word] for word in file.files}
    except (ValueError, OSError, EOFError, BadZipFile, zlib.error) as error:
        raise InputError(Problem(f"{name} cannot be read as arrays: {error}", key)) from None
    if "x" in arrays:
        _check_names(arrays, {"x", "y", "sample_weight"}, name, key)
        return convert_result((arrays["x"], arrays.get("y"), arrays.get("sample_weight")), name, key, part)
    if "x_train" in arrays and part is None:
        given = [word for word in PARTS if f"x_{word}" in arrays]
        _check_names(arrays, {f"{one}_{word}" for word in given for one in ("x", "y", "sample_weight")}, name, key)
        for word in given:
            if "y_train" in arrays and f"y_{word}" not in arrays:
                raise InputError(Problem(f"{name} holds x_{word} without y_{word}", key))
        parts = {word: tuple(arrays.get(f"{one}_{word}") for one in ("x", "y", "sample_weight")) for word in given}
        return _combine_parts(parts, name, key)
    message = f"{name} must hold arrays x and y, or x_train and y_train; it holds {', '.join(sorted(arrays)) or 'none'}"
    raise InputError(Problem(message, key))


def call_loader(reference: str, base: Path, key: str, part: GivenPart | None = None) -> RawData:
    """Return the rows that a user's loader function returns.

    Raises:
        InputError: if it raises, or returns something that is not data.
    """
    path, _ = split_reference(reference, base, key)
    function = load_function(reference, base, key)
    try:
        result = function()
        return convert_result(result, reference, key, part)
    except InputError:
        raise
    # A user's loader may raise anything; that is an error in the input, not in kerastudy.
    except Exception as error:
        raise InputError(Problem(f"{reference} failed: {describe_error(error, path)}", key)) from error


def convert_result(result: object, name: str, key: str, part: GivenPart | None = None) -> RawData:
    """Return the rows of a loader's result: a table where x is a DataFrame, else examples.

    Raises:
        InputError: if it is none of the known forms.
    """
    if isinstance(result, Mapping) and "train" in result and part is None:
        return _combine_parts(result, name, key)
    if isinstance(result, pd.DataFrame):
        return convert_frame(result, name, key, part)
    if isinstance(result, Examples):  # rows that came as objects, read back
        return _wrap(result, name, key, part)
    if is_dataset(result):
        return _wrap(read_dataset(result, name, key), name, key, part)
    if isinstance(result, tuple | list) and 1 <= len(result) <= 3:
        x, y, weight = split_element(result)
        return convert_pair(x, y, name, key, part, weight)
    if isinstance(result, Mapping):
        _refuse_unnamed_parts(result, name, key)
    if isinstance(result, Mapping) or hasattr(result, "shape"):
        return convert_pair(result, None, name, key, part)
    message = (
        f"expected {name} to return x, (x, y) or (x, y, sample_weight), a DataFrame, a dataset, or a dict of these "
        f"with the keys {', '.join(PARTS)}; got {_describe_type(result)}"
    )
    raise InputError(Problem(message, key))


def convert_pair(
    x: object, y: object, name: str, key: str, part: GivenPart | None = None, sample_weight: object = None
) -> RawData:
    """Return the rows of features, labels and weights: a table where x is a DataFrame, else examples.

    Raises:
        InputError: if they differ in length, are empty, or hold what no model takes.
    """
    if not isinstance(x, pd.DataFrame):
        return _wrap(read_examples(x, y, sample_weight, name, key), name, key, part)
    table = convert_frame(x, name, key, part)
    labels = None if y is None else _name_labels(y, name, key)
    weights = None if sample_weight is None else _read_weights(np.asarray(sample_weight), name, key)
    for what, given in (("y", labels), ("sample_weight", weights)):
        if given is not None and len(given) != len(x):
            raise InputError(Problem(f"x of {name} has {len(x)} rows, {what} has {len(given)}", key))
    return RawData(table.origins, table=table.table, labels=labels, weights=weights)


def flatten_examples(raw: RawData) -> RawData:
    """Return examples in the form that preprocessing takes: a table or one array, with labels beside it.

    Raises:
        InputError: if they have another form; preprocessing and shipped families take columns or one array.
    """
    examples, origin = raw.examples, raw.origins[0]
    assert examples is not None
    x = examples.x
    name, key = origin.name, origin.key
    if examples.y is None:
        raise InputError(Problem(f"{name} gives no y, the target; {_FAMILY_ADVICE}", key))
    labels = _name_labels(examples.y, name, key)
    weights = None if examples.sample_weight is None else _read_weights(examples.sample_weight, name, key)
    if isinstance(x, Mapping):
        columns = {str(word): _read_column(values, str(word), name, key) for word, values in x.items()}
        return RawData(raw.origins, table=pd.DataFrame(columns), labels=labels, weights=weights)
    if not isinstance(x, np.ndarray) or x.dtype.kind == "O":
        form = examples.describe().describe()
        raise InputError(
            Problem(f"expected x of {name} to be columns or one array of numbers, got {form}; {_FAMILY_ADVICE}", key)
        )
    # A list of numbers is one feature.
    array = x[:, None] if x.ndim == 1 else x
    return RawData(raw.origins, array=array, labels=labels, weights=weights)


def _wrap(examples: Examples, name: str, key: str, part: GivenPart | None) -> RawData:
    return RawData((Origin(name, key, "row", range(1, examples.rows + 1), part),), examples=examples)


def _combine_parts(parts: Mapping[Any, object], name: str, key: str) -> RawData:
    for word in parts:
        if word not in PARTS:
            raise InputError(Problem(f'{name} holds a part "{word}"; {suggest_choice(str(word), PARTS)}', key))
    rest = convert_result(parts["train"], f"{name} (train)", key)
    given = [
        convert_result(parts[part], f"{name} ({part})", key, part) for part in ("validation", "test") if part in parts
    ]
    return combine([rest, *given])


def _refuse_unnamed_parts(result: Mapping[Any, object], name: str, key: str) -> None:
    # Else a misspelt "train" would make all parts inputs of the model, without targets.
    if any(word in PARTS or isinstance(value, tuple) or is_dataset(value) for word, value in result.items()):
        words = ", ".join(f'"{word}"' for word in result)
        message = f'a dict of parts needs the key "train"; {name} holds {words}'
        raise InputError(Problem(message, key))


def _check_names(arrays: Mapping[str, Array], known: set[str], name: str, key: str) -> None:
    # An array that is not read, such as weights under another name, would be left out without a word.
    for word in arrays:
        if word not in known:
            raise InputError(Problem(f'{name} holds an array "{word}"; {suggest_choice(word, sorted(known))}', key))


def _name_labels(y: Any, name: str, key: str) -> pd.DataFrame:
    if isinstance(y, pd.DataFrame):
        return y.reset_index(drop=True).rename(columns=str)
    if isinstance(y, pd.Series):
        return pd.DataFrame({str(y.name) if y.name is not None else "target": y.reset_index(drop=True)})
    if isinstance(y, Mapping) or not hasattr(y, "ndim"):
        y = _stack_targets(y, name, key)
    array = y
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim == 1:
        return pd.DataFrame({"target": array})
    if array.ndim == 2:
        return pd.DataFrame({f"target_{index}": array[:, index] for index in range(array.shape[1])})
    message = f"expected y of {name} to be [row] or [row, output], got shape {array.shape}; {_FAMILY_ADVICE}"
    raise InputError(Problem(message, key))


def _stack_targets(y: Any, name: str, key: str) -> Array:
    if isinstance(y, Mapping) or len(flatten(y)) != 1:
        message = f"expected y of {name} to be one array, got {_describe_type(y)} of several; {_FAMILY_ADVICE}"
        raise InputError(Problem(message, key))
    return np.asarray(flatten(y)[0])


def _read_weights(weight: Any, name: str, key: str) -> Array:
    array = np.asarray(weight) if hasattr(weight, "shape") else None
    if array is None or array.dtype.kind not in "biuf" or array.size != len(array):
        raise InputError(Problem(f"expected sample_weight of {name} to be one number a row", key))
    return array.reshape(-1).astype(np.float64)


def _read_column(values: Any, column: str, name: str, key: str) -> Array:
    if isinstance(values, np.ndarray) and values.ndim == 2 and values.shape[1] == 1:
        return values[:, 0]
    if not isinstance(values, np.ndarray) or values.ndim != 1:
        shape = getattr(values, "shape", None)
        message = f'expected column "{column}" of {name} to be [row], got {shape or "a structure"}; {_FAMILY_ADVICE}'
        raise InputError(Problem(message, key))
    return values


def _describe_type(value: object) -> str:
    if isinstance(value, tuple | list):
        return f"a {type(value).__name__} of {len(value)}"
    return type(value).__name__
