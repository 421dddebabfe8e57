"""LiteRT (formerly TensorFlow Lite), for phones and small devices: plain, float16, dynamic range and int8.

Only operators that every LiteRT runtime has are used; lookups of words are among them, hashes of words are not.

For a table, float16 and int8 hold the network alone: its columns span ranges that 16 bits cannot hold, let alone 8 (the
mean of a column of incomes is infinite in float16). The preprocessing stays in float32, in another file. For images,
float16 holds the whole model. int8 is calibrated on training rows, which are stored as inputs of the network.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
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
        if self._kind == "int8" or (self._kind == "float16" and _is_table(deployed.model)):
            convert = lambda model: _convert(model, self._kind, deployed.calibration)  # noqa: E731
            made = Conversion(convert_network(deployed, convert, f"LiteRT {self._kind}"))
            if deployed.preprocessing is not None:
                made = replace(made, part="network", note=_NARROW)
        else:
            made = convert_model(deployed, lambda model: _convert(model, self._kind, {}), "LiteRT")
        (folder / self._file).write_bytes(made.result)
        preprocessing_file = _write_preprocessing(deployed, folder) if made.part == "network" else ""
        return WrittenFile(self._file, made.part, preprocessing_file, made.note, deployed.output_names)

    def load(self, folder: Path, written: WrittenFile) -> Predict:
        """Load the file; predictions come from its signature."""
        run = _load_signature(folder / written.file)

        def predict(given: Mapping[str, Array]) -> Outputs:
            return written.order_outputs(run(given))

        if written.preprocessing_file == _PREPROCESSING_FILE:
            prepare = _load_signature(folder / written.preprocessing_file)
            return lambda raw: predict(prepare(raw))
        return prepend_preprocessing(
            predict, folder / written.preprocessing_file if written.preprocessing_file else None
        )


def _is_table(model: Any) -> bool:
    # Images have four dimensions with that of the rows; their values fit 16 bits.
    return any(len(given.shape) < 4 for given in model.inputs)


def _write_preprocessing(deployed: SourceModel, folder: Path) -> str:
    """Write the preprocessing as LiteRT in float32, where it has that form, and return its file's name."""
    file = folder / _PREPROCESSING_FILE
    if not file.exists():
        try:
            file.write_bytes(convert_quietly(lambda model: _convert(model, "float32", {}), deployed.preprocessing))
        except Exception:  # converters raise exceptions of any kind
            return write_preprocessing(deployed, folder)
    return file.name


def _load_signature(file: Path) -> Callable[[Mapping[str, Array]], dict[str, Array]]:
    """Return a file's signature as a function of named arrays."""
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
            name: array if dtypes[name] is np.bytes_ else np.asarray(array, dtypes[name])
            for name, array in given.items()
        }
        answers: dict[str, Array] = run(**values)
        return answers

    return call


def _convert(model: Any, kind: Kind, calibration: Mapping[str, Array]) -> bytes:
    """Return a Keras model with named inputs as a LiteRT file's bytes."""
    import tensorflow as tf

    with tempfile.TemporaryDirectory(prefix="kerastudy-litert-") as folder:
        # By way of a SavedModel, whose signature has the names of the inputs.
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
        data: bytes = converter.convert()
        return data


def _iterate_rows(values: Mapping[str, Array]) -> Iterator[dict[str, Array]]:
    for row in range(len(next(iter(values.values())))):
        # One row at a time: the inputs of the interpreter that calibrates have a batch of one.
        yield {name: array[row : row + 1] for name, array in values.items()}
