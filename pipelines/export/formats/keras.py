"""Formats of Keras, which load without kerastudy: `.keras` files, or folders for models that need their code.

A folder holds the code with a loader, and the file that the loader gives the classes of the code; or, where no file can
hold the model, the weights and the hyperparameters that the code builds it with.
"""

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
        """Write the file, or the folder.

        Raises:
            FormatError: if no file can hold the model, and its code cannot be taken along.
        """
        if deployed.write_portable is not None:
            deployed.write_portable(folder / self.name)
            return self._describe_folder(deployed)
        shutil.copyfile(_require_file(deployed), folder / self._file)
        note = "it needs classes of its model's code, which must be registered with Keras before it is loaded"
        return WrittenFile(self._file, note=note if deployed.needs_code else "", takes=deployed.takes)

    def load(self, folder: Path, written: WrittenFile) -> Predict:
        """Load the file, or the folder by the loader in it."""
        import keras

        from pipelines.data.raw_inputs import make_pack
        from pipelines.models.raw_predict import predict_outputs
        from pipelines.training.user_model.portable import load_portable_model

        at, pack = folder / written.file, make_pack(written.takes)
        model = load_portable_model(at) if at.is_dir() else keras.models.load_model(at)

        def predict(raw: Mapping[str, Array]) -> Outputs:
            return predict_outputs(model, raw, pack)

        return predict

    def _describe_folder(self, deployed: SourceModel) -> WrittenFile:
        what = "its classes are in its code" if deployed.file else "no file can hold it"
        note = f"{what}: load_model.py in the folder {self.name} loads it"
        return WrittenFile(self.name, note=note, takes=deployed.takes)


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
            FormatError: if Keras quantises no layer of the model, whose weights it names; or if no file can hold it.
        """
        import keras

        model = keras.models.load_model(_require_file(deployed))  # a copy, since quantising changes it in place
        # Not `Model.quantize`: it also changes the layers inside a user's layer, which then cannot be loaded again.
        if not [layer for layer in iterate_leaves(model) if _quantize_layer(layer)]:
            weighty = [f'"{layer.name}" ({type(layer).__name__})' for layer in iterate_leaves(model) if layer.weights]
            raise FormatError(f"Keras has no 8-bit form of any layer of this model: {', '.join(weighty)}")
        if deployed.write_portable is not None:
            deployed.write_portable(folder / self.name)
            model.save(folder / self.name / "model.keras")
            return self._describe_folder(deployed)
        model.save(folder / self._file)
        return WrittenFile(self._file, takes=deployed.takes)


def _require_file(deployed: SourceModel) -> Path:
    if deployed.file is None:
        raise FormatError("no file of Keras can hold this model")
    return deployed.file


def _quantize_layer(layer: Any) -> bool:
    """Quantise a layer; return whether it has such a form."""
    try:
        layer.quantize("int8")
    # Keras's answer for a layer without an 8-bit form.
    except NotImplementedError:
        return False
    return True
