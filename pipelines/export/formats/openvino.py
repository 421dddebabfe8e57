"""OpenVINO, for Intel's processors and accelerators; converted from the SavedModel, in float32."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.data.prepared import Array
from pipelines.export.base import Deployed, Predict, Tolerance, Written
from pipelines.export.conversion import converted, from_raw, write_preprocessing


class OpenVino:
    """See `formats.Format`."""

    name = "openvino"
    about = "OpenVINO, for Intel's processors"
    packages: Mapping[str, str] = {"openvino": "openvino"}
    extra = "openvino"
    tolerance = Tolerance(difference=1e-5)

    def write(self, deployed: Deployed, folder: Path) -> Written:
        """Write the folder `openvino/` with `model.xml` and `model.bin`.

        Raises:
            FormatError: if the network cannot be written so.
        """
        import openvino

        made = converted(deployed, _convert, "OpenVINO")
        openvino.save_model(made.result, folder / "openvino" / "model.xml", compress_to_fp16=False)
        beside = write_preprocessing(deployed, folder) if made.part == "network" else ""
        return Written("openvino", made.part, beside, made.note)

    def load(self, folder: Path, written: Written) -> Predict:
        """Load the folder for the CPU, which is told not to round to 16 bits."""
        import openvino

        compiled = openvino.Core().compile_model(
            folder / written.file / "model.xml", "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
        )
        taken = {name for given in compiled.inputs for name in given.names}

        def predict(given: Mapping[str, Array]) -> Array:
            answer: Array = compiled({name: values for name, values in given.items() if name in taken})[0]
            return answer

        return from_raw(predict, folder / written.beside if written.beside else None)


def _convert(model: Any) -> Any:
    """Return a Keras model with named inputs as an OpenVINO model."""
    import openvino

    with tempfile.TemporaryDirectory(prefix="kerastudy-openvino-") as folder:
        model.export(folder, format="tf_saved_model", verbose=False)
        made = openvino.convert_model(folder)
        openvino.Core().compile_model(made, "CPU")
    return made
