"""LiteRT (formerly TensorFlow Lite), for phones and small devices: plain, float16, dynamic range and int8.

Only operators that every LiteRT runtime has are used; lookups of words are among them, hashes of words are not.
TensorFlow's interpreter has no others any more (its delegate for TensorFlow's operators, Flex, is gone), so a file with
others could not be verified. Networks that loop over sequences get by without: for one row at a time.

For a table, float16 and int8 hold the network alone: its columns span ranges that 16 bits cannot hold, let alone 8 (the
mean of a column of incomes is infinite in float16). The preprocessing stays in float32, in another file. For images,
float16 holds the whole model. int8 is calibrated on training rows, which are stored as inputs of the network.
"""

from __future__ import annotations

import re
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from pipelines.data.array_types import Array
from pipelines.export.base import Outputs, Predict, SourceModel, Tolerance, WrittenFile
from pipelines.export.conversion import (
    Conversion,
    convert_model,
    convert_network,
    convert_quietly,
    prepend_preprocessing,
    write_preprocessing,
)

_PREPROCESSING_FILE = "preprocessing.tflite"
_NARROW = "a table's raw columns, and what int8 is calibrated on, are float32: the file holds the network alone"
_ONE_ROW = "it takes one row at a time: LiteRT has loops over sequences for tensors of known sizes only"
# The converter's list of operators of TensorFlow, behind pages of locations.
_LACKING = re.compile(r"TF Select ops: ([^\n]+)")
Kind = Literal["float32", "float16", "dynamic", "int8"]


class LiteRT:
    """See `base.Format`."""

    packages: Mapping[str, str] = {}
    extra = ""

    def __init__(self, kind: Kind, about: str, tolerance: Tolerance) -> None:
        self.name = "litert" if kind == "float32" else f"litert_{kind}"
        self.about = about
        self.tolerance = tolerance
        self._kind = kind
        self._file = "model.tflite" if kind == "float32" else f"model_{kind}.tflite"

    def write(self, deployed: SourceModel, folder: Path) -> WrittenFile:
        """Write the file, and the preprocessing if it is not part of it.

        Raises:
            FormatError: if the network cannot be written in this format.
        """
        made = self._convert_model(deployed)
        (folder / self._file).write_bytes(made.result.content)
        preprocessing_file = _write_preprocessing(deployed, folder) if made.part == "network" else ""
        notes = (made.note, _describe_one_row(deployed) if made.result.rows else "")
        return WrittenFile(
            self._file,
            made.part,
            preprocessing_file,
            "; ".join(note for note in notes if note),
            deployed.output_names,
            rows=made.result.rows,
        )

    def _convert_model(self, deployed: SourceModel) -> Conversion[_Converted]:
        kind: Kind = self._kind
        if kind == "int8" or (kind == "float16" and _is_table(deployed.model)):
            convert = lambda model: _convert_for_rows(model, kind, deployed.calibration)  # noqa: E731
            made = Conversion(convert_network(deployed, convert, f"LiteRT {kind}"))
            return made if deployed.preprocessing is None else replace(made, part="network", note=_NARROW)
        return convert_model(deployed, lambda model: _convert_for_rows(model, kind, deployed.calibration), "LiteRT")

    def load(self, folder: Path, written: WrittenFile) -> Predict:
        """Load the file; predictions come from its signature."""
        run = _load_signature(folder / written.file, written.rows)

        def predict(given: Mapping[str, Array]) -> Outputs:
            return written.order_outputs(run(given))

        if written.preprocessing_file == _PREPROCESSING_FILE:
            prepare = _load_signature(folder / written.preprocessing_file)
            return lambda raw: predict(prepare(raw))
        return prepend_preprocessing(
            predict, folder / written.preprocessing_file if written.preprocessing_file else None
        )


@dataclass(frozen=True)
class _Converted:
    """Content of a file, and the number of rows that it takes at once; None for any number."""

    content: bytes
    rows: int | None = None


def _describe_one_row(deployed: SourceModel) -> str:
    open_inputs = [taken.name for taken in deployed.model.inputs if None in taken.shape[1:]]
    lengths = ", ".join(f"{name} {list(deployed.calibration[name].shape[1:])}" for name in open_inputs)
    return f"{_ONE_ROW}{f', and of these lengths: {lengths}' if lengths else ''}"


def _is_table(model: Any) -> bool:
    # Images have four dimensions with that of the rows; their values fit 16 bits.
    return any(len(given.shape) < 4 for given in model.inputs)


def _write_preprocessing(deployed: SourceModel, folder: Path) -> str:
    """Write the preprocessing as LiteRT in float32, where it has that form, and return its file's name."""
    file = folder / _PREPROCESSING_FILE
    if not file.exists():
        try:
            file.write_bytes(convert_quietly(lambda model: _convert(model, "float32"), deployed.preprocessing))
        except Exception:  # converters raise exceptions of any kind
            return write_preprocessing(deployed, folder)
    return file.name


def _load_signature(file: Path, rows: int | None = None) -> Callable[[Mapping[str, Array]], dict[str, Array]]:
    """Return a file's signature as a function of named arrays; `rows` is the number that it takes at once."""
    import numpy as np
    import tensorflow as tf

    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # TensorFlow's interpreter is deprecated in favour of the package ai-edge-litert
        # Not ai-edge-litert: TensorFlow is here anyway, and its interpreter reads the same files.
        interpreter = tf.lite.Interpreter(str(file))
    run = interpreter.get_signature_runner()
    # Strings are passed as they are; numbers must have exactly the type of the input.
    dtypes = {name: about["dtype"] for name, about in run.get_input_details().items()}

    def call(given: Mapping[str, Array]) -> dict[str, Array]:
        values = {
            name: given[name] if dtype is np.bytes_ else np.asarray(given[name], dtype)
            for name, dtype in dtypes.items()
        }
        answers: dict[str, Array] = run(**values)
        return answers

    def call_by_rows(given: Mapping[str, Array]) -> dict[str, Array]:
        count = len(next(iter(given.values())))
        parts = [call({name: values[row : row + 1] for name, values in given.items()}) for row in range(count)]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    return call if rows is None else call_by_rows


def _convert_for_rows(model: Any, kind: Kind, calibration: Mapping[str, Array]) -> _Converted:
    """Return a Keras model as a LiteRT file for any number of rows, or for one where it has no such form."""
    try:
        return _Converted(_convert(model, kind, calibration))
    except Exception:  # the converter raises exceptions of several kinds
        if kind == "int8":
            # The converter's calibration ends the process for the loop of an LSTM.
            raise
        # Loops over sequences, as of an LSTM, have a form for tensors of known sizes only.
        return _Converted(_convert(model, kind, calibration, has_one_row=True), rows=1)


def _convert(
    model: Any, kind: Kind, calibration: Mapping[str, Array] | None = None, *, has_one_row: bool = False
) -> bytes:
    """Return a Keras model with named inputs as a LiteRT file's bytes."""
    import tensorflow as tf

    calibration = calibration or {}
    with tempfile.TemporaryDirectory(prefix="kerastudy-litert-") as folder:
        # By way of a SavedModel, whose signature has the names of the inputs.
        if has_one_row:
            _export_for_one_row(model, folder, calibration)
        else:
            model.export(folder, format="tf_saved_model", verbose=False)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        if kind != "float32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if kind == "float16":
            # Without it, `Optimize.DEFAULT` makes 8-bit weights.
            converter.target_spec.supported_types = [tf.float16]
        if kind == "int8" and calibration:
            wanted = [taken.name for taken in model.inputs]
            converter.representative_dataset = lambda: _iterate_rows({name: calibration[name] for name in wanted})
            # The second set lets an operator without an 8-bit form stay in float32; the first alone would refuse it.
            converter.target_spec.supported_ops = [
                tf.lite.OpsSet.TFLITE_BUILTINS_INT8,
                tf.lite.OpsSet.TFLITE_BUILTINS,
            ]
        try:
            data: bytes = converter.convert()
        except Exception as error:  # the converter raises exceptions of several kinds
            if (lacking := _LACKING.search(str(error))) is not None:
                raise ValueError(f"LiteRT has no {lacking[1].strip()}") from error
            raise
        return data


def _export_for_one_row(model: Any, folder: str, rows: Mapping[str, Array]) -> None:
    """Write a SavedModel that takes one row, whose open axes have the length that they have in `rows`."""
    import keras
    import tensorflow as tf

    spec = {}
    for taken in model.inputs:
        known = rows[taken.name].shape[1:] if taken.name in rows else taken.shape[1:]
        shape = [given if length is None else length for length, given in zip(taken.shape[1:], known, strict=True)]
        spec[taken.name] = tf.TensorSpec((1, *shape), taken.dtype, name=taken.name)
    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint("serve", lambda given: model(given, training=False), input_signature=[spec])
    archive.write_out(folder, verbose=False)


def _iterate_rows(values: Mapping[str, Array]) -> Iterator[dict[str, Array]]:
    for row in range(len(next(iter(values.values())))):
        # One row at a time: the inputs of the interpreter that calibrates have a batch of one.
        yield {name: array[row : row + 1] for name, array in values.items()}
