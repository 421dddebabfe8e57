"""Writer of an MLflow model's folder from a `.keras` file, without an import of TensorFlow or MLflow.

MLflow's `save_model` needs the loaded model, and the process that records trials has none. The folder loads with
`mlflow.tensorflow.load_model` as if MLflow had saved it. Its `python_function` flavour has a small loader in the folder
(`model_loader`), because MLflow's passes strings to Keras as NumPy arrays, which Keras refuses.

A model that needs its code comes as a folder with a loader, `load_model.py`, which both flavours then use. MLflow would
pickle the classes of the code instead, and a pickle can run anything.

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
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from ruamel.yaml import YAML

from tracking.mlflow import (
    cell_values,
    head_answers,
    list_values,
    model_loader,
    picture_values,
    series_values,
    time_values,
    written_numbers,
)
from tracking.mlflow.cell_values import PLAIN, CellForm
from tracking.mlflow.head_answers import describe_answers
from tracking.mlflow.series_values import list_columns

INPUTS_FILE: Final = "inputs.json"
TASK: Final = "kerastudy.task"
_DATA: Final = "data"
_CODE: Final = "code"
_LOADER: Final = "kerastudy_pyfunc"
_MODEL_LOADER: Final = "load_model.py"
_DTYPES: Final = frozenset(
    {
        *("float16", "float32", "float64", "int8", "int16", "int32", "int64"),
        *("uint8", "uint16", "uint32", "uint64", "bool", "string"),
    }
)


@dataclass(frozen=True)
class TensorDescription:
    """One input or output of the exported model.

    Attributes:
        name: its name; empty for the only output of a model.
        dtype: numpy's name of the type, or `string`.
        shape: that of one row; None for an axis whose length differs.
    """

    name: str
    dtype: str
    shape: tuple[int | None, ...]


@dataclass(frozen=True)
class InputColumn:
    """One column of a table.

    Attributes:
        name: its name in the source.
        input: the exported model's input for it.
        kind: the kind of its values.
        shape: of one row; () for a single value. A picture is resized to its height and width.
        dtype: type of that input.
        header: its name as the source's file has it, where that has blanks around, which pandas keeps.
        form: form of its cells in a text file.
    """

    name: str
    input: str
    kind: Literal["numeric", "boolean", "string", "date", "image", "number_list", "word_list"]
    dtype: str = "float32"
    header: str = ""
    form: CellForm = PLAIN
    shape: tuple[int, ...] = ()


@dataclass(frozen=True)
class Columns:
    """Input columns of a model; `missing_values` are words that mean "missing", like the empty field."""

    columns: tuple[InputColumn, ...]
    missing_values: tuple[str, ...] = ()

    @property
    def has_pictures(self) -> bool:
        """Whether a column holds pictures, which need Pillow."""
        return any(column.kind == "image" for column in self.columns)


@dataclass(frozen=True)
class ModelDescription:
    """Inputs of a model and, where it is known, its output.

    Attributes:
        inputs: input tensors; empty where `columns` describes the input.
        outputs: in the order of Keras's `flatten`; empty where they are unknown.
        columns: input columns of a model of a table.
        takes: the structure of the model's input with the names of `inputs` for leaves; None for a dict by name.
        example: one or more rows for each input or column, as lists; MLflow's input example.
        task: the task, as plain values; MLflow stores it in the model's metadata.
        series: facts of the windows of a table of series; None for other models.
        heads: of several targets with a head each, those of the task in the order of the targets: the model answers
            with a table, see `head_answers`.
    """

    inputs: tuple[TensorDescription, ...] = ()
    outputs: tuple[TensorDescription, ...] = ()
    columns: Columns | None = None
    takes: Any = None
    example: Mapping[str, Sequence[Any]] | None = None
    task: Mapping[str, Any] | None = None
    series: Mapping[str, Any] | None = None
    heads: Sequence[Mapping[str, Any]] = ()


def write_model_folder(
    model: str | Path,
    folder: Path,
    described: ModelDescription | None = None,
    *,
    requirements: Sequence[str] | None = None,
) -> None:
    """Write an MLflow model around a Keras model; an earlier one in `folder` is replaced.

    Args:
        model: `.keras` file of a model with raw inputs, or a folder with such a model, its code and `load_model.py`.
        folder: folder to write.
        described: inputs and output; read from the file if None.
        requirements: pip requirements to load the model with, such as `keras==3.15.1`; this environment's Keras and
            TensorFlow if None.
    """
    model = Path(model)
    described = described or (None if model.is_dir() else describe_inputs(model))
    requirements = list_installed_requirements() if requirements is None else requirements
    if described is not None and described.columns is not None and described.columns.has_pictures:
        requirements = (*requirements, f"pillow=={version('pillow')}")
    # Written to another name first: a kill must not leave a folder that looks complete.
    aside = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(aside, ignore_errors=True)
    data = aside / _DATA
    if model.is_dir():
        shutil.copytree(model, data, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        data.mkdir(parents=True)
        shutil.copyfile(model, data / "model.keras")
    # MLflow's loader reads these two files to choose how to load the model.
    (data / "keras_module.txt").write_text("tensorflow.keras")
    (data / "save_format.txt").write_text("tf")
    if described is not None:
        text = json.dumps(_describe_for_loader(described), ensure_ascii=False)
        (data / INPUTS_FILE).write_text(text, encoding="utf-8")
    _copy_loader(aside / _CODE / _LOADER)
    _write_environment(aside, requirements)
    description = _describe_model(aside, described, requirements)
    if described is not None and described.example is not None:
        description["saved_input_example_info"] = _write_example(aside, described.example, described.columns)
    (aside / "MLmodel").write_text(_dump_yaml(description))
    # A rename cannot replace a folder with files in it; a kill in between leaves no folder, never half of one.
    shutil.rmtree(folder, ignore_errors=True)
    aside.replace(folder)


def _copy_loader(package: Path) -> None:
    """Copy the loader as a package of its own, which imports the other files by relative names, as here."""
    package.mkdir(parents=True)
    shutil.copyfile(Path(model_loader.__file__), package / "__init__.py")
    modules = (cell_values, head_answers, list_values, picture_values, series_values, time_values, written_numbers)
    for module in modules:
        file = Path(str(module.__file__))
        shutil.copyfile(file, package / file.name)


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


def _describe_for_loader(described: ModelDescription) -> dict[str, Any]:
    """Return what `model_loader` reads."""
    columns = described.columns or Columns(())
    return {
        **asdict(columns),
        "tensors": {each.name: each.dtype for each in described.inputs},
        "takes": described.takes,
        "outputs": [each.name for each in described.outputs],
        "series": described.series,
        # An earlier loader, in the folder of a model that was written then, does not know the key.
        **({"heads": list(described.heads)} if described.heads else {}),
    }


def _describe_model(folder: Path, described: ModelDescription | None, requirements: Sequence[str]) -> dict[str, Any]:
    keras: dict[str, Any] = {"code": None, "data": _DATA, "model_type": "keras", "save_format": "tf"}
    if (folder / _DATA / _MODEL_LOADER).exists():
        # MLflow calls `load_model` of this module's `models`.
        keras |= {"code": _CODE, "keras_module": _LOADER}
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
        **({} if described is None or not _has_inputs(described) else {"signature": _make_signature(described)}),
        **({} if described is None or described.task is None else {"metadata": {TASK: _copy_as_plain(described.task)}}),
        # MLflow writes it without a time zone.
        "utc_time_created": datetime.now(UTC).replace(tzinfo=None).isoformat(sep=" "),
    }


def _has_inputs(described: ModelDescription) -> bool:
    # Ragged and sparse inputs have no form in a signature.
    return bool(described.inputs or described.columns)


def _make_signature(described: ModelDescription) -> dict[str, Any]:
    if described.series is not None:
        # A forecast is a table, which has no tensor's form.
        inputs = [{"type": "any", "name": name, "required": True} for name in list_columns(described.series)]
        return {"inputs": json.dumps(inputs), "outputs": None, "params": None}
    if described.columns is not None:
        inputs = [field for column in described.columns.columns for field in _describe_column(column)]
    else:
        inputs = [_describe_tensor(tensor, name=tensor.name) for tensor in described.inputs]
    named = len(described.outputs) > 1
    outputs = describe_answers(described.heads) or [
        _describe_tensor(each, **({"name": each.name} if named else {})) for each in described.outputs
    ]
    return {"inputs": json.dumps(inputs), "outputs": json.dumps(outputs) if outputs else None, "params": None}


def _describe_column(column: InputColumn) -> Iterator[dict[str, Any]]:
    # Under either name: MLflow drops columns that a signature does not have, and the loader misses one that is absent.
    yield {"type": "any", "name": column.name, "required": not column.header}
    if column.header:
        yield {"type": "any", "name": column.header, "required": False}


def _describe_tensor(tensor: TensorDescription, **extra: str) -> dict[str, Any]:
    """Return one field of MLflow's signature; the first dimension is the row's."""
    shape = [-1, *(-1 if length is None else length for length in tensor.shape)]
    spec = {"dtype": "str" if tensor.dtype == "string" else tensor.dtype, "shape": shape}
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
