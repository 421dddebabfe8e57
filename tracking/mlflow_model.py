"""A trial's `.keras` file made into the folder of an MLflow model, importing neither TensorFlow nor MLflow.

MLflow's own `save_model` wants the live model, and the process that records trials holds none. What is written here
loads with `mlflow.tensorflow.load_model` as if MLflow had saved it. The `python_function` flavour has a small loader of
its own in the folder, because MLflow's hands strings to Keras as NumPy arrays, which Keras refuses.
"""

from __future__ import annotations

import io
import json
import platform
import shutil
import uuid
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from ruamel.yaml import YAML

_DATA: Final = "data"
_CODE: Final = "code"
_LOADER: Final = "kerastudy_pyfunc"
_DTYPES: Final = {"float32": "float32", "int32": "int32", "string": "str"}

# Runs wherever the model is loaded, with nothing of ours installed.
_LOADER_SOURCE: Final = '''\
"""Loads the Keras model of this folder for `mlflow.pyfunc`."""

from pathlib import Path

import keras
import numpy as np
import pandas as pd
import tensorflow as tf


class KerasOnRawColumns:
    """Takes a table or a dict of columns and predicts with the Keras model."""

    def __init__(self, model):
        self.model = model

    def predict(self, model_input, params=None):
        if isinstance(model_input, pd.DataFrame):
            model_input = {name: model_input[name].to_numpy() for name in model_input.columns}
        if not isinstance(model_input, dict):
            return self.model.predict(model_input, verbose=0)
        wanted = {tensor.name: tensor for tensor in self.model.inputs}
        columns = {name: _tensor(model_input[name], tensor) for name, tensor in wanted.items()}
        return self.model.predict(columns, verbose=0)


def _tensor(values, wanted):
    values = np.asarray(values)
    if len(wanted.shape) == 2 and values.ndim == 1:
        values = values[:, np.newaxis]
    if wanted.dtype == "string":
        return tf.constant(values.astype(str))
    return tf.constant(values.astype(wanted.dtype))


def _load_pyfunc(path):
    return KerasOnRawColumns(keras.saving.load_model(Path(path) / "model.keras", compile=False))
'''


@dataclass(frozen=True)
class TensorDescription:
    """One input or the output of the exported model; `shape` is that of one row."""

    name: str
    dtype: Literal["float32", "int32", "string"]
    shape: tuple[int, ...]


@dataclass(frozen=True)
class ModelDescription:
    """What goes in and, where it is known, what comes out."""

    inputs: tuple[TensorDescription, ...]
    output: TensorDescription | None = None


def write_model_folder(
    keras_file: Path,
    folder: Path,
    *,
    signature: ModelDescription | None = None,
    example: Mapping[str, Any] | None = None,
    requirements: Sequence[str] | None = None,
) -> None:
    """Write an MLflow model around a `.keras` file; an earlier one in `folder` is replaced.

    Args:
        keras_file: the model that takes raw inputs.
        folder: folder to write.
        signature: the raw inputs and the output; read from the file if None.
        example: one row or more per input, as lists, shown in MLflow as the input example.
        requirements: pip requirements to load the model with, such as `keras==3.15.1`; this environment's Keras and
            TensorFlow if None.
    """
    signature = signature or described_inputs(keras_file)
    requirements = installed_requirements() if requirements is None else requirements
    aside = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(aside, ignore_errors=True)
    data = aside / _DATA
    data.mkdir(parents=True)
    shutil.copyfile(keras_file, data / "model.keras")
    (data / "keras_module.txt").write_text("tensorflow.keras")
    (data / "save_format.txt").write_text("tf")
    (aside / _CODE).mkdir()
    (aside / _CODE / f"{_LOADER}.py").write_text(_LOADER_SOURCE)
    _write_environment(aside, requirements)
    description = _description(aside, signature, requirements)
    if example is not None:
        description["saved_input_example_info"] = _write_example(aside, example)
    (aside / "MLmodel").write_text(_as_yaml(description))
    shutil.rmtree(folder, ignore_errors=True)
    aside.replace(folder)


def described_inputs(keras_file: Path) -> ModelDescription | None:
    """Return the inputs that a `.keras` file declares; None for a model that declares none."""
    with zipfile.ZipFile(keras_file) as archive:
        config = json.loads(archive.read("config.json"))["config"]
    layers = config.get("layers", []) if isinstance(config, dict) else []
    inputs = [layer["config"] for layer in layers if layer.get("class_name") == "InputLayer"]
    known = [_described_input(declared) for declared in inputs]
    return ModelDescription(tuple(tensor for tensor in known if tensor is not None)) if all(known) and known else None


def installed_requirements() -> tuple[str, ...]:
    """Return the pinned requirements that load a model saved in this environment."""
    pinned = []
    for package in ("keras", "tensorflow"):
        try:
            pinned.append(f"{package}=={version(package)}")
        except PackageNotFoundError:
            continue
    return tuple(pinned)


def _described_input(declared: dict[str, Any]) -> TensorDescription | None:
    dtype = declared.get("dtype")
    if isinstance(dtype, dict):
        dtype = dtype.get("config", {}).get("name")
    shape = declared.get("batch_shape") or [None, None]
    if dtype not in _DTYPES or any(size is None for size in shape[1:]):
        return None
    return TensorDescription(declared["name"], dtype, tuple(shape[1:]))


def _description(folder: Path, signature: ModelDescription | None, requirements: Sequence[str]) -> dict[str, Any]:
    keras = {"code": None, "data": _DATA, "model_type": "keras", "save_format": "tf"}
    pyfunc = {"code": _CODE, "data": _DATA, "loader_module": _LOADER, "python_version": platform.python_version()}
    return {
        "flavors": {
            # MLflow writes TensorFlow's version here, not Keras's; we write what loads the file.
            "tensorflow": {**keras, "keras_version": _version_of("keras", requirements)},
            "python_function": {**pyfunc, "env": {"conda": "conda.yaml", "virtualenv": "python_env.yaml"}},
        },
        "mlflow_version": version("mlflow"),
        "model_size_bytes": sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()),
        "model_uuid": uuid.uuid4().hex,
        **({} if signature is None else {"signature": _signature(signature)}),
        "utc_time_created": datetime.now(UTC).replace(tzinfo=None).isoformat(sep=" "),
    }


def _signature(signature: ModelDescription) -> dict[str, Any]:
    inputs = json.dumps([_tensor(tensor, name=tensor.name) for tensor in signature.inputs])
    outputs = None if signature.output is None else json.dumps([_tensor(signature.output)])
    return {"inputs": inputs, "outputs": outputs, "params": None}


def _tensor(tensor: TensorDescription, **named: str) -> dict[str, Any]:
    """Return one field of MLflow's signature; the first dimension is the row's."""
    spec = {"dtype": _DTYPES[tensor.dtype], "shape": [-1, *tensor.shape]}
    return {**named, "type": "tensor", "tensor-spec": spec}


def _write_environment(folder: Path, requirements: Sequence[str]) -> None:
    python = platform.python_version()
    pip = ["mlflow", *requirements]
    (folder / "requirements.txt").write_text("\n".join(pip) + "\n")
    (folder / "python_env.yaml").write_text(
        _as_yaml({"python": python, "build_dependencies": ["pip"], "dependencies": ["-r requirements.txt"]})
    )
    environment = {"name": "mlflow-env", "channels": ["conda-forge"]}
    dependencies = {"dependencies": [f"python={python}", "pip", {"pip": pip}]}
    (folder / "conda.yaml").write_text(_as_yaml({**environment, **dependencies}))


def _write_example(folder: Path, example: Mapping[str, Any]) -> dict[str, str]:
    rows = {name: np.asarray(values).tolist() for name, values in example.items()}
    (folder / "input_example.json").write_text(json.dumps(rows))
    (folder / "serving_input_example.json").write_text(json.dumps({"inputs": rows}))
    return {
        "artifact_path": "input_example.json",
        "type": "ndarray",
        "format": "tf-serving",
        "serving_input_path": "serving_input_example.json",
    }


def _as_yaml(content: Mapping[str, Any]) -> str:
    writer = YAML(typ="safe", pure=True)
    writer.default_flow_style = False
    stream = io.StringIO()
    writer.dump(dict(content), stream)
    return stream.getvalue()


def _version_of(package: str, requirements: Sequence[str]) -> str:
    pinned = [line.partition("==")[2] for line in requirements if line.partition("==")[0].strip() == package]
    return pinned[0].strip() if pinned else ""
