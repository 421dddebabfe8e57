"""Sources of values in place of files of columns: `.npz` files and loader functions.

A loader may return (x, y), a DataFrame, a `tf.data.Dataset` of (x, y), or a dict of parts made of any of these. x is an
array, a DataFrame or a dict of columns.
"""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast
from zipfile import BadZipFile

import numpy as np
import pandas as pd

from pipelines.data.array_types import Array
from pipelines.data.raw import PARTS, GivenPart, Origin, RawData, combine
from pipelines.data.tabular_files import convert_frame
from pipelines.spec.code_references import describe_error, load_function, split_reference
from search_spaces.errors import InputError, Problem, suggest_choice

MOST_ELEMENTS = 2_000_000  # chosen; stops an endless generator, whose length `tf.data` does not know


def read_npz(path: Path, name: str, key: str, part: GivenPart | None = None) -> RawData:
    """Return the rows of a `.npz` file: arrays `x` and `y`, or `x_train`, `y_train` and so on for the parts.

    Raises:
        InputError: if the arrays are not there, hold Python objects, or differ in length.
    """
    try:
        # Pickled objects would run their code while they are loaded.
        with np.load(path, allow_pickle=False) as file:
            arrays = {str(word): file[word] for word in file.files}
    except (ValueError, OSError, EOFError, BadZipFile, zlib.error) as error:
        raise InputError(Problem(f"{name} cannot be read as arrays: {error}", key)) from None
    if "x" in arrays and "y" in arrays:
        return convert_pair(arrays["x"], arrays["y"], name, key, part)
    if "x_train" in arrays and part is None:
        given = [word for word in PARTS if f"x_{word}" in arrays]
        for word in given:
            if f"y_{word}" not in arrays:
                raise InputError(Problem(f"{name} holds x_{word} without y_{word}", key))
        return _combine_parts({word: (arrays[f"x_{word}"], arrays[f"y_{word}"]) for word in given}, name, key)
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
    """Return the rows of a loader's result.

    Raises:
        InputError: if it is none of the known forms.
    """
    if isinstance(result, Mapping) and "train" in result and part is None:
        return _combine_parts(result, name, key)
    if isinstance(result, pd.DataFrame):
        return convert_frame(result, name, key, part)
    if isinstance(result, (tuple, list)) and len(result) == 2:
        return convert_pair(result[0], result[1], name, key, part)
    # By attribute: importing TensorFlow for the class of a `tf.data.Dataset` takes seconds.
    if hasattr(result, "element_spec"):
        x, y = _materialise(result, name, key)
        return convert_pair(x, y, name, key, part)
    message = (
        f"expected {name} to return (x, y), a DataFrame, a tf.data.Dataset, or a dict of these with the keys "
        f"{', '.join(PARTS)}; got {type(result).__name__}"
    )
    raise InputError(Problem(message, key))


def convert_pair(x: object, y: object, name: str, key: str, part: GivenPart | None = None) -> RawData:
    """Return the rows of features and labels.

    Raises:
        InputError: if they differ in length, are empty, or hold what is not numbers.
    """
    labels = _read_labels(y, name, key)
    if isinstance(x, Mapping):
        x = pd.DataFrame({word: _read_column(values, name, key) for word, values in x.items()})
    if isinstance(x, pd.DataFrame):
        table = convert_frame(x, name, key, part)
        _check_length(len(x), len(labels), name, key)
        return RawData(table.origins, table=table.table, labels=labels)
    array = np.asarray(x)
    if array.ndim == 0 or array.dtype.kind not in "biuf":
        message = f"expected x of {name} to be an array of numbers, got {array.dtype} of shape {array.shape}"
        raise InputError(Problem(message, key))
    # A list of numbers is one feature.
    array = array[:, None] if array.ndim == 1 else array
    _check_length(len(array), len(labels), name, key)
    if array.size == 0:
        raise InputError(Problem(f"{name} has no rows", key))
    return RawData((Origin(name, key, "row", range(1, len(array) + 1), part),), array=array, labels=labels)


def _combine_parts(parts: Mapping[Any, object], name: str, key: str) -> RawData:
    for word in parts:
        if word not in PARTS:
            raise InputError(Problem(f'{name} holds a part "{word}"; {suggest_choice(str(word), PARTS)}', key))
    rest = convert_result(parts["train"], f"{name} (train)", key)
    given = [
        convert_result(parts[part], f"{name} ({part})", key, part) for part in ("validation", "test") if part in parts
    ]
    return combine([rest, *given])


def _read_labels(y: object, name: str, key: str) -> pd.DataFrame:
    if isinstance(y, pd.DataFrame):
        return y.reset_index(drop=True).rename(columns=str)
    if isinstance(y, pd.Series):
        return pd.DataFrame({str(y.name) if y.name is not None else "target": y.reset_index(drop=True)})
    array = _decode_text(np.asarray(y))
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim == 1:
        return pd.DataFrame({"target": array})
    if array.ndim == 2:
        return pd.DataFrame({f"target_{index}": array[:, index] for index in range(array.shape[1])})
    message = f"expected y of {name} to be [row] or [row, output], got shape {array.shape}"
    raise InputError(Problem(message, key))


def _read_column(values: object, name: str, key: str) -> Array:
    array = _decode_text(np.asarray(values))
    if array.ndim == 2 and array.shape[1] == 1:
        return array[:, 0]
    if array.ndim != 1:
        raise InputError(Problem(f"expected columns of {name} to be [row], got shape {array.shape}", key))
    return array


def _decode_text(array: Array) -> Array:
    """Return strings as Python text: TensorFlow gives bytes, and fixed-width arrays cut strings at their width."""
    if array.dtype.kind == "S" or (array.dtype.kind == "O" and array.size and isinstance(array.flat[0], bytes)):
        return np.array([value.decode("utf-8", "replace") for value in array.ravel()], dtype=object).reshape(
            array.shape
        )
    return array.astype(object) if array.dtype.kind == "U" else array


def _check_length(rows: int, labels: int, name: str, key: str) -> None:
    if rows != labels:
        raise InputError(Problem(f"x of {name} has {rows} rows, y has {labels}", key))


def _materialise(dataset: Any, name: str, key: str) -> tuple[object, object]:
    """Return all x and y of a `tf.data.Dataset`, batched or not."""
    spec = dataset.element_spec
    if not isinstance(spec, tuple) or len(spec) != 2 or not hasattr(spec[1], "shape"):
        raise InputError(Problem(f"expected the dataset of {name} to give (x, y), got {spec}", key))
    # -1 is tf.data.INFINITE_CARDINALITY; importing TensorFlow for its name would take seconds.
    if int(dataset.cardinality()) == -1:
        message = f"the dataset of {name} is infinite; leave out repeat(), or end it with take()"
        raise InputError(Problem(message, key))
    elements = list(itertools.islice(dataset.as_numpy_iterator(), MOST_ELEMENTS + 1))
    if len(elements) > MOST_ELEMENTS:
        message = f"the dataset of {name} gives more than {MOST_ELEMENTS:,} elements; batch it, or end it with take()"
        raise InputError(Problem(message, key))
    if not elements:
        raise InputError(Problem(f"the dataset of {name} is empty", key))
    join = np.concatenate if _is_batched(spec) else np.stack
    y = join([element[1] for element in elements])
    if isinstance(spec[0], Mapping):
        return {word: join([element[0][word] for element in elements]) for word in spec[0]}, y
    return join([element[0] for element in elements]), y


def _is_batched(spec: tuple[Any, Any]) -> bool:
    """Return whether the first axis is the batch: x and y share it, or its length is open."""
    x, y = spec
    shapes = [item.shape for item in (x.values() if isinstance(x, Mapping) else [x])] + [y.shape]
    if any(shape.rank in (None, 0) for shape in shapes):
        return any(shape.rank is None for shape in shapes)
    return len({cast("int | None", shape[0]) for shape in shapes}) == 1
