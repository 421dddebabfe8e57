"""Loader of the Keras model in this folder; it runs without kerastudy, and runs the code of the model.

    from load_model import load_model
    model = load_model()

`model.json` describes the model, `code/` holds the Python files that define it, and `hyperparameters.json` the values
that its code is called with. `model.keras` is loaded with the classes of the code; without that file the code builds
the model, and its weights are those of `weights.npz`.
"""

# Copied beside each such model. Keras and TensorFlow are imported where they are used: for its path this module is
# imported where neither is.
from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any


def load_model(folder: str | Path | None = None) -> Any:
    """Return the model, uncompiled or as its code compiles it.

    Args:
        folder: the folder with its files; that of this file where None.
    """
    import keras

    policy = keras.config.dtype_policy()
    try:
        return _load(Path(folder) if folder is not None else Path(__file__).parent)
    finally:
        # The code may set the policy of the whole process, as for mixed precision.
        keras.config.set_dtype_policy(policy)


def _load(root: Path) -> Any:
    import keras

    about = json.loads((root / "model.json").read_text(encoding="utf-8"))
    code, *others = _import_code(root / "code", about["file"])
    if not (root / "model.keras").exists():
        return _rebuild(root, about, code)
    # The classes and functions of the code; of the same name, those of the first file.
    known = {name: value for module in (*others, code) for name, value in vars(module).items() if callable(value)}
    with keras.saving.custom_object_scope(known):
        return keras.saving.load_model(root / "model.keras", compile=False)


def make_input(about: dict[str, Any], raw: dict[str, Any]) -> Any:
    """Return inputs by name, such as arrays, in the structure that the model takes."""
    return dict(raw) if about["takes"] is None else _arrange(about["takes"], raw)


def _lies_in(module: ModuleType, folder: Path) -> bool:
    file = getattr(module, "__file__", None)
    return bool(file) and Path(str(file)).is_relative_to(folder)


def _rebuild(root: Path, about: dict[str, Any], code: ModuleType) -> Any:
    """Return the model that the code builds, with its weights and, where it has one, its preprocessing."""
    import keras
    import keras_tuner
    import numpy as np

    hp = keras_tuner.HyperParameters()
    hp.values = json.loads((root / "hyperparameters.json").read_text(encoding="utf-8"))
    found = getattr(code, about["name"])
    hypermodel = found() if isinstance(found, type) else found
    core = hypermodel.build(hp) if hasattr(hypermodel, "build") else hypermodel(hp)
    preprocessing = None
    if (root / "preprocessing.keras").exists():
        preprocessing = keras.saving.load_model(root / "preprocessing.keras")
    given = {each["name"]: _make_row(each["shape"], each["dtype"]) for each in about["inputs"]}
    # Called once, since a model without a declared input has no weights before.
    core(make_input(about, given) if preprocessing is None else _choose_input(preprocessing(given)), training=False)
    with np.load(root / "weights.npz") as arrays:
        kept = [arrays[name] for name in arrays.files]
    if len(core.weights) != len(kept):  # parts that only training calls, such as a generator, have no weights here
        kept = _select_weights(core, dict(zip(about["weights"], kept, strict=True)))
    core.set_weights(kept)
    if preprocessing is None:
        return core
    inputs = {each.name: keras.Input(each.shape[1:], dtype=each.dtype, name=each.name) for each in preprocessing.inputs}
    return keras.Model(inputs, core(_choose_input(preprocessing(inputs)), training=False), name="deployed")


def _select_weights(core: Any, by_path: dict[str, Any]) -> list[Any]:
    """Return the weights that a model has, of those it was trained with, by their paths."""
    # Keras numbers the layers of a process: dense_6 here may have been dense_2 where the model was trained.
    trained = _find_smallest(name for path in by_path for name in path.split("/"))
    built = _find_smallest(layer.name for layer in core._flatten_layers())

    def rename(name: str) -> str:
        base, number = _split_name(name)
        number += trained.get(base, 0) - built.get(base, 0)
        return f"{base}_{number}" if number else base

    return [by_path["/".join(map(rename, weight.path.split("/")))] for weight in core.weights]


def _find_smallest(names: Iterable[str]) -> dict[str, int]:
    """Return the smallest number behind each name."""
    smallest: dict[str, int] = {}
    for base, number in map(_split_name, names):
        smallest[base] = min(number, smallest.get(base, number))
    return smallest


def _split_name(name: str) -> tuple[str, int]:
    base, _, number = name.rpartition("_")
    return (base, int(number)) if base and number.isdigit() else (name, 0)


def _choose_input(prepared: dict[str, Any]) -> Any:
    return next(iter(prepared.values())) if len(prepared) == 1 else prepared


def _arrange(names: Any, raw: dict[str, Any]) -> Any:
    if isinstance(names, dict):
        return {key: _arrange(each, raw) for key, each in names.items()}
    if isinstance(names, list):
        return [_arrange(each, raw) for each in names]
    return raw[names]


def _make_row(shape: list[int | None], dtype: str) -> Any:
    import numpy as np
    import tensorflow as tf

    axes = [1, *(1 if length is None else length for length in shape)]
    if dtype == "string":
        return tf.fill(axes, "")
    return tf.constant(np.zeros(axes, "float32" if dtype.startswith("float") else dtype))


def _import_code(folder: Path, file: str) -> list[ModuleType]:
    """Return the module of a file, and those that it imports from its own folder, which is searched first."""
    spec = importlib.util.spec_from_file_location(f"model_code_{abs(hash(str(folder)))}", folder / file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{folder / file} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    with search_first(folder):
        spec.loader.exec_module(module)
        return [module, *(each for each in list(sys.modules.values()) if each is not module and _lies_in(each, folder))]


@contextmanager
def search_first(folder: Path) -> Iterator[None]:
    """Search a folder first for imports; modules of the same names that are loaded already stay what they are."""
    names = {path.name.removesuffix(".py") for path in folder.iterdir()} - sys.stdlib_module_names
    others = {name: module for name, module in sys.modules.items() if name.partition(".")[0] in names}
    for name in others:
        del sys.modules[name]
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        # Behind all others from now on: functions may import when they are called.
        sys.path.append(str(folder))
        sys.modules.update(others)
