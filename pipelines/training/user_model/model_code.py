"""Code of a trial's user model, kept with the trial: what builds its model again, here or where kerastudy is not.

The study's files may change after a trial has ended. So each complete trial keeps a copy of the code that built its
model, with the hyperparameters, and a loader that needs kerastudy as little as an exported model does.
"""

from __future__ import annotations

import importlib.metadata
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from pipelines.data.prepared import DataSummary
from pipelines.data.raw_inputs import arrange_names
from pipelines.data.stored_preprocessing import has_preprocessing, load_preprocessing
from pipelines.objects.code_files import list_companions
from pipelines.spec.code_references import find_stopped_import, split_reference
from pipelines.spec.import_conflicts import OURS
from pipelines.spec.imported_code import ImportedCode, list_imported_code
from pipelines.training.trial_folder import (
    CODE_DESCRIPTION,
    MODEL_CODE,
    MODEL_FILE,
    USER_MODEL_WEIGHTS_FILE,
    has_model_code,
    is_without_file,
    needs_code,
    read_trial_config,
)
from pipelines.training.user_model import load_model
from pipelines.workspace.atomic_files import write_text
from search_spaces.errors import KerastudyError

CODE = "code"
LOADER = "load_model.py"
HYPERPARAMETERS = "hyperparameters.json"
WEIGHTS = "weights.npz"
PREPROCESSING = "preprocessing.keras"


class CodeNotKeptError(KerastudyError):
    """The code of a user model cannot be taken along; the message has the reason and what to do."""


@dataclass(frozen=True)
class CodeOrigin:
    """Code of a user model, and what it was called with.

    Attributes:
        reference: the code, as the study names it.
        base: folder that the reference is relative to.
        values: all hyperparameters that the code requested.
        weights: Keras's path of each weight, in the order of `get_weights`.
    """

    reference: str
    base: Path
    values: Mapping[str, Any]
    weights: Sequence[str]


def write_model_code(folder: Path, origin: CodeOrigin, summary: DataSummary) -> None:
    """Write the code of a user model into its trial's folder, for `load_model`.

    Args:
        folder: the trial's folder.
        origin: the code.
        summary: the study's data.

    Raises:
        CodeNotKeptError: if the code runs only where kerastudy is.
    """
    target = folder / MODEL_CODE
    shutil.rmtree(target, ignore_errors=True)
    file, name = split_reference(origin.reference, origin.base, "model")
    code = list_imported_code(file)
    _check_code(origin, code)
    for path, source in code.files.items():
        (target / CODE / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target / CODE / path)
        for each in list_companions(source):
            shutil.copyfile(each, (target / CODE / path).with_name(each.name))
    shutil.copyfile(load_model.__file__, target / LOADER)
    described = {
        "file": file.name,
        "name": name,
        "takes": arrange_names(summary),
        "inputs": [{"name": each.name, "shape": list(each.shape), "dtype": each.dtype} for each in summary.raw],
        "weights": list(origin.weights),
        "requirements": _list_requirements(code.packages),
    }
    # An inactive conditional hyperparameter has the value None.
    active = {name: value for name, value in origin.values.items() if value is not None}
    for path, content in ((HYPERPARAMETERS, active), (CODE_DESCRIPTION, described)):
        write_text(target / path, json.dumps(content, indent=2, ensure_ascii=False, default=str) + "\n")


def keep_preprocessing(folder: Path, data: Path, fold: int) -> None:
    """Keep the preprocessing of a fold, where it has any, beside the code of a trial whose model no file holds."""
    if has_preprocessing(data, fold) and (folder / MODEL_CODE).exists():
        load_preprocessing(data, fold).save(folder / MODEL_CODE / PREPROCESSING)


def write_portable_model(folder: Path, target: Path) -> None:
    """Write a trial's model with its code to a new folder, which `load_model` in it loads without kerastudy.

    Args:
        folder: the trial's folder; it holds `MODEL_CODE`.
        target: the folder to write.
    """
    shutil.copytree(folder / MODEL_CODE, target)
    if (folder / MODEL_FILE).exists():
        shutil.copyfile(folder / MODEL_FILE, target / MODEL_FILE)
    else:
        shutil.copyfile(folder / USER_MODEL_WEIGHTS_FILE, target / WEIGHTS)


def locate_code(folder: Path) -> tuple[str, Path]:
    """Return the reference to the code of a trial's user model, and the folder that it is relative to.

    It is the study's own file while that is what the trial was trained with, else the trial's copy.
    """
    config = read_trial_config(folder)
    base, kept = Path(config["base"]), folder / MODEL_CODE
    if not (kept / CODE_DESCRIPTION).exists():
        return config["model"], base
    written, _, name = str(config["model"]).rpartition(":")
    copy, original = kept / CODE / Path(written).name, base / written
    # The study's first: a worker finds the modules beside it, and not those of the copy.
    if original.is_file() and original.read_bytes() == copy.read_bytes():
        return config["model"], base
    return f"{copy.name}:{name}", copy.parent


@contextmanager
def open_code(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield the reference and the folder of `locate_code`; imports of a copy find its own modules meanwhile."""
    reference, base = locate_code(folder)
    is_copy = base == folder / MODEL_CODE / CODE
    with load_model.search_first(base) if is_copy else nullcontext():
        yield reference, base


def is_portable(folder: Path) -> bool:
    """Return whether a trial's model needs its code where it is loaded, and the code is there."""
    if not has_model_code(folder):
        return False
    return is_without_file(folder) or ((folder / MODEL_FILE).exists() and needs_code(folder))


def read_requirements(folder: Path) -> tuple[str, ...]:
    """Return the pinned packages that the code of a model needs, from a folder with its description."""
    return tuple(json.loads((folder / CODE_DESCRIPTION).read_text(encoding="utf-8"))["requirements"])


def _check_code(origin: CodeOrigin, code: ImportedCode) -> None:
    if (stopped := find_stopped_import(origin.reference, origin.base, "model")) is not None:
        raise CodeNotKeptError(str(stopped))
    if ours := sorted(code.packages.intersection(OURS)):
        raise CodeNotKeptError(f"its code needs {ours[0]}, which is kerastudy's; write the model to a file of its own")


@lru_cache
def _list_distributions() -> Mapping[str, list[str]]:
    return importlib.metadata.packages_distributions()


def _list_requirements(packages: frozenset[str]) -> list[str]:
    known = _list_distributions()
    names = {known[package][0] for package in (*packages, "keras", "keras_tuner", "tensorflow") if package in known}
    return [f"{name}=={importlib.metadata.version(name)}" for name in sorted(names)]
