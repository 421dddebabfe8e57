"""Writer of an MLflow model's folder from a `.keras` file, without an import of TensorFlow or MLflow.

MLflow's `save_model` needs the loaded model, and the process that records trials has none. The folder loads with
`mlflow.tensorflow.load_model` as if MLflow had saved it. Its `python_function` flavour has a small loader in the folder
(`model_loader`), because MLflow's passes strings to Keras as NumPy arrays, which Keras refuses.

The columns of a table are `any` in the signature. MLflow's typed columns refuse what ordinary DataFrames hold (whole
numbers and booleans for `double`, nothing but NaN for `string`), and turn a missing string of JSON's `inputs` into the
word "None". The loader knows each column's kind, and names the column of a value that it refuses.
"""

from __future__ import annotations

import io
import json
import platform
import shutil
import uuid
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from ruamel.yaml import YAML

from tracking.mlflow import model_loader

COLUMNS_FILE: Final = "columns.json"
TASK: Final = "kerastudy.task"
_DATA: Final = "data"
_CODE: Final = "code"
_LOADER: Final = "kerastudy_pyfunc"
_DTYPES: Final = {"float32": "float32", "int32": "int32", "string": "str"}


@dataclass(frozen=True)
class TensorDescription:
    """One input or the output of the exported model; `shape` is that of one row."""

    name: str
    dtype: Literal["float32", "int32", "string"]
    shape: tuple[int, ...]


@dataclass(frozen=True)
class InputColumn:
    """One column of a table: its name in the source, the exported model's input for it, and the kind of its values."""

    name: str
    input: str
    kind: Literal["numeric", "boolean", "string", "date"]


@dataclass(frozen=True)
class Columns:
    """Input columns of a model; `missing_values` are words that mean "missing", like the empty field."""

    columns: tuple[InputColumn, ...]
    missing_values: tuple[str, ...] = ()


@dataclass(frozen=True)
class ModelDescription:
    """Inputs of a model and, where it is known, its output.

    Attributes:
        inputs: input tensors; empty where `columns` describes the input.
        output: the only output.
        columns: input columns of a model of a table.
        example: one or more rows for each input or column, as lists; MLflow's input example.
        task: the task, as plain values; MLflow stores it in the model's metadata.
    """

    inputs: tuple[TensorDescription, ...] = ()
    output: TensorDescription | None = None
    columns: Columns | None = None
    example: Mapping[str, Sequence[Any]] | None = None
    task: Mapping[str, Any] | None = None


def write_model_folder(
    keras_file: Path,
    folder: Path,
    described: ModelDescription | None = None,
    *,
    requirements: Sequence[str] | None = None,
) -> None:
    """Write an MLflow model around a `.keras` file; an earlier one in `folder` is replaced.

    Args:
        keras_file: model with raw inputs.
        folder: folder to write.
        described: inputs and output; read from the file if None.
        requirements: pip requirements to load the model with, such as `keras==3.15.1`; this environment's Keras and
            TensorFlow if None.
    """
    described = described or describe_inputs(keras_file)
    requirements = list_installed_requirements() if requirements is None else requirements
    # Written to another name first: a kill must not leave a folder that looks complete.
    aside = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(aside, ignore_errors=True)
    data = aside / _DATA
    data.mkdir(parents=True)
    shutil.copyfile(keras_file, data / "model.keras")
    # MLflow's loader reads these two files to choose how to load the model.
    (data / "keras_module.txt").write_text("tensorflow.keras")
    (data / "save_format.txt").write_text("tf")
    if described is not None and described.columns is not None:
        (data / COLUMNS_FILE).write_text(json.dumps(asdict(described.columns), ensure_ascii=False), encoding="utf-8")
    (aside / _CODE).mkdir()
    shutil.copyfile(Path(model_loader.__file__), aside / _CODE / f"{_LOADER}.py")
    _write_environment(aside, requirements)
    description = _describe_model(aside, described, requirements)
    if described is not None and described.example is not None:
        description["saved_input_example_info"] = _write_example(aside, described.example, described.columns)
    (aside / "MLmodel").write_text(_dump_yaml(description))
    # A rename cannot replace a folder with files in it; a kill in between leaves no folder, never half of one.
    shutil.rmtree(folder, ignore_errors=True)
    aside.replace(folder)


def describe_inputs(keras_file: Path) -> ModelDescription | None:
    """Return the inputs that a `.keras` file declares; None if it declares none."""
    with zipfile.ZipFile(keras_file) as archive:
        config = json.loads(archive.read("config.json"))["config"]
    layers = config.get("layers", []) if isinstance(config, dict) else []
    inputs = [layer["config"] for layer in layers if layer.get("class_name") == "InputLayer"]
    known = [_describe_input(declared) for declared in inputs]
    return ModelDescription(tuple(tensor for tensor in known if tensor is not None)) if all(known) and known else None


def list_installed_requirements() -> tuple[str, ...]:
    """Return the pinned requirements that load a model saved in this environment."""
    pinned = []
    for package in ("keras", "tensorflow"):
        try:
            pinned.append(f"{package}=={version(package)}")
        except PackageNotFoundError:
            continue
    return tuple(pinned)


def _describe_input(declared: dict[str, Any]) -> TensorDescription | None:
    dtype = declared.get("dtype")
    # Keras writes a dtype policy as a mapping.
    if isinstance(dtype, dict):
        dtype = dtype.get("config", {}).get("name")
    shape = declared.get("batch_shape") or [None, None]
    if dtype not in _DTYPES or any(size is None for size in shape[1:]):
        return None
    return TensorDescription(declared["name"], dtype, tuple(shape[1:]))


def _describe_model(folder: Path, described: ModelDescription | None, requirements: Sequence[str]) -> dict[str, Any]:
    keras = {"code": None, "data": _DATA, "model_type": "keras", "save_format": "tf"}
    pyfunc = {"code": _CODE, "data": _DATA, "loader_module": _LOADER, "python_version": platform.python_version()}
    return {
        "flavors": {
            # MLflow writes TensorFlow's version here; Keras's is the one that must load the file.
            "tensorflow": {**keras, "keras_version": _find_version("keras", requirements)},
            "python_function": {**pyfunc, "env": {"conda": "conda.yaml", "virtualenv": "python_env.yaml"}},
        },
        "mlflow_version": version("mlflow"),
        "model_size_bytes": sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()),
        "model_uuid": uuid.uuid4().hex,
        **({} if described is None else {"signature": _make_signature(described)}),
        **({} if described is None or described.task is None else {"metadata": {TASK: _copy_as_plain(described.task)}}),
        # MLflow writes it without a time zone.
        "utc_time_created": datetime.now(UTC).replace(tzinfo=None).isoformat(sep=" "),
    }


def _make_signature(described: ModelDescription) -> dict[str, Any]:
    if described.columns is not None:
        inputs = [{"type": "any", "name": column.name, "required": True} for column in described.columns.columns]
    else:
        inputs = [_describe_tensor(tensor, name=tensor.name) for tensor in described.inputs]
    outputs = None if described.output is None else json.dumps([_describe_tensor(described.output)])
    return {"inputs": json.dumps(inputs), "outputs": outputs, "params": None}


def _describe_tensor(tensor: TensorDescription, **extra: str) -> dict[str, Any]:
    """Return one field of MLflow's signature; the first dimension is the row's."""
    spec = {"dtype": _DTYPES[tensor.dtype], "shape": [-1, *tensor.shape]}
    return {**extra, "type": "tensor", "tensor-spec": spec}


def _write_environment(folder: Path, requirements: Sequence[str]) -> None:
    python = platform.python_version()
    pip = ["mlflow", *requirements]
    (folder / "requirements.txt").write_text("\n".join(pip) + "\n")
    (folder / "python_env.yaml").write_text(
        _dump_yaml({"python": python, "build_dependencies": ["pip"], "dependencies": ["-r requirements.txt"]})
    )
    environment = {"name": "mlflow-env", "channels": ["conda-forge"]}
    dependencies = {"dependencies": [f"python={python}", "pip", {"pip": pip}]}
    (folder / "conda.yaml").write_text(_dump_yaml({**environment, **dependencies}))


def _write_example(folder: Path, example: Mapping[str, Sequence[Any]], columns: Columns | None) -> dict[str, str]:
    if columns is None:
        rows: dict[str, Any] = {name: np.asarray(values).tolist() for name, values in example.items()}
        request, kind = {"inputs": rows}, {"type": "ndarray", "format": "tf-serving"}
    else:
        rows = {"columns": list(example), "data": [list(row) for row in zip(*example.values(), strict=True)]}
        request, kind = {"dataframe_split": rows}, {"type": "dataframe", "pandas_orient": "split"}
    (folder / "input_example.json").write_text(json.dumps(rows))
    (folder / "serving_input_example.json").write_text(json.dumps(request))
    return {
        "artifact_path": "input_example.json",
        **kind,
        "serving_input_path": "serving_input_example.json",
    }


def _copy_as_plain(content: Mapping[str, Any]) -> Any:
    return json.loads(json.dumps(content))


def _dump_yaml(content: Mapping[str, Any]) -> str:
    writer = YAML(typ="safe", pure=True)
    writer.default_flow_style = False
    stream = io.StringIO()
    writer.dump(dict(content), stream)
    return stream.getvalue()


def _find_version(package: str, requirements: Sequence[str]) -> str:
    pinned = [line.partition("==")[2] for line in requirements if line.partition("==")[0].strip() == package]
    return pinned[0].strip() if pinned else ""
