"""Formats of Keras: `.keras` files, which `keras.models.load_model` loads without kerastudy."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.data.array_types import Array
from pipelines.export.base import FormatError, Outputs, Predict, SourceModel, Tolerance, WrittenFile
from pipelines.export.conversion import iterate_leaves


class KerasFile:
    """See `base.Format`."""

    name = "keras"
    about = "Keras's file"
    packages: Mapping[str, str] = {}
    extra = ""
    # The same operations on the same weights: only the order of sums may differ.
    tolerance = Tolerance(difference=1e-6)
    _file = "model.keras"

    def write(self, deployed: SourceModel, folder: Path) -> WrittenFile:
        """Write the file."""
        shutil.copyfile(deployed.file, folder / self._file)
        return WrittenFile(self._file, takes=deployed.takes)

    def load(self, folder: Path, written: WrittenFile) -> Predict:
        """Load the file."""
        import keras

        from pipelines.data.raw_inputs import make_pack
        from pipelines.models.raw_predict import predict_outputs

        model, pack = keras.models.load_model(folder / written.file), make_pack(written.takes)

        def predict(raw: Mapping[str, Array]) -> Outputs:
            return predict_outputs(model, raw, pack)

        return predict


class KerasInt8File(KerasFile):
    """`.keras` file with 8-bit weights in the layers for which Keras has them."""

    name = "keras_int8"
    about = "Keras's file with 8-bit weights in dense and embedding layers"
    # Chosen: one row in twenty may be decided otherwise for a file of a quarter of the size.
    tolerance = Tolerance(difference=None, agreement=0.95, score=0.05, value=0.05)
    _file = "model_int8.keras"

    def write(self, deployed: SourceModel, folder: Path) -> WrittenFile:
        """Write the file.

        Raises:
            FormatError: if Keras quantises no layer of the model; names those with weights.
        """
        import keras

        model = keras.models.load_model(deployed.file)  # a copy, since quantising changes it in place
        # Not `Model.quantize`: it also changes the layers inside a user's layer, which then cannot be loaded again.
        if not [layer for layer in iterate_leaves(model) if _quantize_layer(layer)]:
            weighty = [f'"{layer.name}" ({type(layer).__name__})' for layer in iterate_leaves(model) if layer.weights]
            raise FormatError(f"Keras has no 8-bit form of any layer of this model: {', '.join(weighty)}")
        model.save(folder / self._file)
        return WrittenFile(self._file, takes=deployed.takes)


def _quantize_layer(layer: Any) -> bool:
    """Quantise a layer; return whether it has such a form."""
    try:
        layer.quantize("int8")
    # Keras's answer for a layer without an 8-bit form.
    except NotImplementedError:
        return False
    return True
