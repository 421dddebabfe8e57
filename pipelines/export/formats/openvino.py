"""OpenVINO, for Intel's processors and accelerators; converted from the SavedModel, in float32."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.data.array_types import Array
from pipelines.export.base import Outputs, Predict, SourceModel, Tolerance, WrittenFile
from pipelines.export.conversion import convert_model, prepend_preprocessing, write_preprocessing


class OpenVino:
    """See `base.Format`."""

    name = "openvino"
    about = "OpenVINO, for Intel's processors"
    packages: Mapping[str, str] = {"openvino": "openvino"}
    extra = "openvino"
    tolerance = Tolerance(difference=1e-5)

    def write(self, deployed: SourceModel, folder: Path) -> WrittenFile:
        """Write the folder `openvino/` with `model.xml` and `model.bin`.

        Raises:
            FormatError: if the network cannot be written in this format.
        """
        _leave_out_telemetry()
        import openvino

        made = convert_model(deployed, _convert, "OpenVINO")
        # By default, OpenVINO would halve the weights to 16 bits without a word.
        openvino.save_model(made.result, folder / "openvino" / "model.xml", compress_to_fp16=False)
        preprocessing_file = write_preprocessing(deployed, folder) if made.part == "network" else ""
        return WrittenFile("openvino", made.part, preprocessing_file, made.note, deployed.output_names)

    def load(self, folder: Path, written: WrittenFile) -> Predict:
        """Load the folder for the CPU, without rounding to 16 bits."""
        _leave_out_telemetry()
        import openvino

        # On processors with bfloat16, the CPU plugin computes in it unless float32 is named.
        compiled = openvino.Core().compile_model(
            folder / written.file / "model.xml", "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
        )
        taken = {name for given in compiled.inputs for name in given.names}

        def predict(given: Mapping[str, Array]) -> Outputs:
            answers = compiled({name: values for name, values in given.items() if name in taken})
            return written.order_outputs({name: values for port, values in answers.items() for name in port.names})

        return prepend_preprocessing(
            predict, folder / written.preprocessing_file if written.preprocessing_file else None
        )


def _leave_out_telemetry() -> None:
    """Let OpenVINO do without the package that reports each conversion to its makers, from a process that it forks."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # an import of it fails then


def _convert(model: Any) -> Any:
    """Return a Keras model with named inputs as an OpenVINO model."""
    import openvino

    with tempfile.TemporaryDirectory(prefix="kerastudy-openvino-") as folder:
        model.export(folder, format="tf_saved_model", verbose=False)
        made = openvino.convert_model(folder)
        # A check: some operators convert, and fail only when they are compiled.
        openvino.Core().compile_model(made, "CPU")
    return made
