"""The `.keras` formats: load with `keras.models.load_model`, without kerastudy."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.data.prepared import Array
from pipelines.export.base import FormatError, Predict, SourceModel, Tolerance, WrittenFile
from pipelines.export.conversion import iterate_leaves


class KerasFile:
    """See `formats.Format`."""

    name = "keras"
    about = "Keras's own file"
    packages: Mapping[str, str] = {}
    extra = ""
    tolerance = Tolerance(difference=1e-6)
    _file = "model.keras"

    def write(self, deployed: SourceModel, folder: Path) -> WrittenFile:
        """Write the file."""
        deployed.model.save(folder / self._file)
        return WrittenFile(self._file)

    def load(self, folder: Path, written: WrittenFile) -> Predict:
        """Load the file."""
        import keras

        from pipelines.models.raw_predict import predict_raw

        model = keras.models.load_model(folder / written.file)

        def predict(raw: Mapping[str, Array]) -> Array:
            return predict_raw(model, raw)

        return predict


class KerasInt8File(KerasFile):
    """The same with weights of 8 bits, where Keras has them."""

    name = "keras_int8"
    about = "Keras's own file with 8-bit weights in dense and embedding layers"
    tolerance = Tolerance(difference=None, agreement=0.95, score=0.05, value=0.05)
    _file = "model_int8.keras"

    def write(self, deployed: SourceModel, folder: Path) -> WrittenFile:
        """Write the file.

        Raises:
            FormatError: if no layer is of a kind that Keras quantises; names those with weights.
        """
        import keras

        model = keras.models.load_model(deployed.file)  # it is changed in place
        # `Model.quantize` would also reach into layers of a person's own, which do not know of it when they are loaded.
        if not [layer for layer in iterate_leaves(model) if _quantize_layer(layer)]:
            weighty = [f'"{layer.name}" ({type(layer).__name__})' for layer in iterate_leaves(model) if layer.weights]
            raise FormatError(f"Keras has no 8-bit form of any layer of this model: {', '.join(weighty)}")
        model.save(folder / self._file)
        return WrittenFile(self._file)


def _quantize_layer(layer: Any) -> bool:
    """Quantise a layer, and say whether it has such a form."""
    try:
        layer.quantize("int8")
    except NotImplementedError:
        return False
    return True
