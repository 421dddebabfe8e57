"""ONNX, for ONNX Runtime and much else.

Neither Keras's `export(format="onnx")` nor tf2onnx's conversion of a function is used: both silently turn a layer's
constants, such as the means by which numbers are centred, into required inputs. tf2onnx's conversion of a SavedModel,
which its command uses, keeps them. It only logs an unknown operator, so the result is loaded as a check.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.data.array_types import Array
from pipelines.export.base import Outputs, Predict, SourceModel, Tolerance, WrittenFile
from pipelines.export.conversion import convert_model, prepend_preprocessing, write_preprocessing

_OPSET = 18  # the newest that tf2onnx 1.17 writes


class OnnxFile:
    """See `base.Format`."""

    name = "onnx"
    about = "ONNX, for ONNX Runtime"
    packages: Mapping[str, str] = {"tf2onnx": "tf2onnx", "onnxruntime": "onnxruntime"}
    extra = "onnx"
    tolerance = Tolerance(difference=1e-5)

    def write(self, deployed: SourceModel, folder: Path) -> WrittenFile:
        """Write `model.onnx`.

        Raises:
            FormatError: if the network cannot be written in this format.
        """
        made = convert_model(deployed, _convert, "ONNX")
        (folder / "model.onnx").write_bytes(made.result)
        preprocessing_file = write_preprocessing(deployed, folder) if made.part == "network" else ""
        return WrittenFile("model.onnx", made.part, preprocessing_file, made.note, deployed.output_names)

    def load(self, folder: Path, written: WrittenFile) -> Predict:
        """Load the file with ONNX Runtime."""
        import onnxruntime

        # Named, so that a build for GPUs is compared in the same arithmetic.
        session = onnxruntime.InferenceSession(str(folder / written.file), providers=["CPUExecutionProvider"])
        taken = {given.name for given in session.get_inputs()}
        names = [given.name for given in session.get_outputs()]

        def predict(given: Mapping[str, Array]) -> Outputs:
            # Unlike Keras, ONNX Runtime refuses inputs that the graph does not use.
            answers = session.run(names, {name: values for name, values in given.items() if name in taken})
            return written.order_outputs(dict(zip(names, answers, strict=True)))

        return prepend_preprocessing(
            predict, folder / written.preprocessing_file if written.preprocessing_file else None
        )


def _convert_where(graph: Any, node: Any, name: str, arguments: Any) -> None:
    """Convert TensorFlow's `where` to ONNX's `Where`.

    tf2onnx converts it to a sum of products with 0 and 1, which is NaN if either side is: missing numbers are NaN here.
    """
    node.type = "Where"


def _convert_log1p(graph: Any, node: Any, name: str, arguments: Any) -> None:
    """Convert TensorFlow's `log1p`, which is unknown to tf2onnx, to log(x + 1)."""
    import numpy as np

    taken = node.input[0]
    # Preprocessed numbers are float32.
    one = graph.make_const(f"{name}_one", np.array(1.0, np.float32))
    shape, dtype = graph.get_shape(taken), graph.get_dtype(taken)
    total = graph.make_node("Add", [taken, one.output[0]], shapes=[shape], dtypes=[dtype])
    graph.replace_input(node, taken, total.output[0], 0)
    node.type = "Log"


def _convert(model: Any) -> bytes:
    """Return a Keras model with named inputs as an ONNX file's bytes."""
    import onnxruntime
    from tf2onnx import convert, tf_loader

    with tempfile.TemporaryDirectory(prefix="kerastudy-onnx-") as folder:
        model.export(folder, format="tf_saved_model", verbose=False)
        graph, inputs, outputs, tables, renamed = tf_loader.from_saved_model(
            folder,
            None,
            None,
            tag=["serve"],
            signatures=["serving_default"],
            return_initialized_tables=True,
            return_tensors_to_rename=True,
        )
        # TensorFlow writes the names of a graph's ends in lower case.
        known = (*(given.name for given in model.inputs), *(model.output if isinstance(model.output, dict) else ()))
        names = {name.lower(): name for name in known}
        renamed = {tensor: names.get(name, name) for tensor, name in renamed.items()}
        # As tf2onnx's command converts a SavedModel; the package has no public function for it.
        made, _ = convert._convert_common(
            graph,
            name=model.name,
            opset=_OPSET,
            input_names=inputs,
            output_names=outputs,
            tensors_to_rename=renamed,
            initialized_tables=tables,
            custom_op_handlers={"SelectV2": (_convert_where, []), "Log1p": (_convert_log1p, [])},
        )
    data: bytes = made.SerializeToString()
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    # Constants that became inputs: see the module's docstring.
    if unknown := {given.name for given in session.get_inputs()} - {given.name for given in model.inputs}:
        raise ValueError(f"these are no inputs of the model: {', '.join(sorted(unknown))}")
    return data
