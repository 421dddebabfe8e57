"""Sidecar files of an export: signature, example rows, requirements, and the recipe for loading and serving."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

from pipelines.data.array_types import Array
from pipelines.data.prepared import DataSummary, Task, list_channels
from pipelines.data.raw_inputs import arrange_names, convert_dtype
from pipelines.export.base import OutputTensor
from pipelines.export.parity import Parity
from pipelines.export.registry import FORMATS
from pipelines.export.serve_recipe import render_serve_recipe
from pipelines.training.trial_folder import CODE_DESCRIPTION
from pipelines.training.user_model.model_code import read_requirements

EXAMPLE_FILE = "input_example.json"
EXAMPLE_ROWS = 3


def write_sidecar_files(
    folder: Path,
    summary: DataSummary,
    shapes: Mapping[str, Sequence[int | None]],
    outputs: Sequence[OutputTensor],
    parities: Sequence[Parity],
) -> None:
    """Write `signature.json`, `requirements.txt` and `SERVE.md`."""
    signature = json.dumps(describe_signature(summary, shapes, outputs), indent=2, ensure_ascii=False)
    (folder / "signature.json").write_text(signature + "\n", encoding="utf-8")
    lines = list_requirements(parities, folder)
    (folder / "requirements.txt").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    recipe = render_serve_recipe(parities, arrange_names(summary))
    (folder / "SERVE.md").write_text(recipe, encoding="utf-8")


def write_example(folder: Path, rows: Mapping[str, Array]) -> None:
    """Write a few rows of raw columns in the form of MLflow's scoring server and TF Serving.

    A missing number is null there, and a missing word the empty string.
    """
    count = min(EXAMPLE_ROWS, int(next(iter(rows.values())).shape[0]))
    examples = [{name: _to_plain(values[row]) for name, values in rows.items()} for row in range(count)]
    # NaN is no JSON, though Python writes it: one that was overlooked fails here, and not at a server.
    text = json.dumps({"instances": examples}, ensure_ascii=False, allow_nan=False)
    (folder / EXAMPLE_FILE).write_text(text + "\n", encoding="utf-8")


def describe_signature(
    summary: DataSummary, shapes: Mapping[str, Sequence[int | None]], outputs: Sequence[OutputTensor]
) -> dict[str, Any]:
    """Return the model's signature: its raw inputs, and its outputs with their meaning, in their order.

    A model with one output has it as `output` too.
    """
    of_heads = {head.output: {"target": head.targets[0], **_name_head(head)} for head in summary.task.heads}
    described = [
        {
            **{"name": each.name, "shape": list(each.shape), "dtype": each.dtype, "meaning": each.reading.meaning},
            **of_heads.get(each.name, {}),
        }
        for each in outputs
    ]
    names = {"classes": list(summary.task.classes), "targets": list(summary.task.targets)}
    only = {key: described[0][key] for key in ("shape", "meaning")} if len(described) == 1 else None
    return {
        "inputs": [
            {
                **{name: value for name, value in asdict(column).items() if name != "header"},
                "shape": list(shapes.get(column.name, column.shape)),
                "dtype": convert_dtype(column.dtype),
                **(
                    {"channels": channels}
                    if (channels := [each.name for each in list_channels(summary, column.name)])
                    else {}
                ),
            }
            for column in summary.raw
        ],
        "task": summary.task.kind,
        **({} if only is None else {"output": {**only, **names}}),
        "outputs": described,
        **names,
        # What a user model makes of a gap is its own affair.
        **({} if summary.given is not None else {"missing": {"float32": "NaN", "string": "the empty string"}}),
    }


def _name_head(head: Task) -> dict[str, Any]:
    return {"task": head.kind, **({"classes": list(head.classes)} if head.classes else {})}


def list_requirements(parities: Sequence[Parity], folder: Path) -> list[str]:
    """Return the packages that load the files in a folder, with the versions with which they were verified."""
    keras = {"tensorflow", "keras"}  # LiteRT's interpreter comes with TensorFlow
    packages = set().union(*(_list_runtime_packages(parity) or keras for parity in parities))
    if any(
        parity.preprocessing_file for parity in parities
    ):  # the preprocessing needs TensorFlow, whatever runtime the file has
        packages |= keras
    pinned = {f"{name}=={metadata.version(name)}" for name in {*packages, "numpy"}}
    for parity in parities:
        if (folder / parity.file / CODE_DESCRIPTION).exists():
            pinned |= set(read_requirements(folder / parity.file))
    return sorted(pinned)


def _list_runtime_packages(parity: Parity) -> set[str]:
    # tf2onnx writes a file, and nobody needs it to load one.
    return {package for package in FORMATS[parity.format].packages.values() if package != "tf2onnx"}


def _to_plain(value: Any) -> Any:
    if hasattr(value, "toarray"):
        value = value.toarray()[0]
    if hasattr(value, "to_list"):
        value = value.to_list()
    if hasattr(value, "numpy"):
        value = value.numpy()
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, list):
        return [_to_plain(each) for each in value]
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return None if isinstance(value, float) and math.isnan(value) else value
