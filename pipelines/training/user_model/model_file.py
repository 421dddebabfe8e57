"""File of a trained user model that Keras loads again: one that it cannot load is no model to hand over."""

from __future__ import annotations

import json
import re
import sys
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from pipelines.data.examples.model_tensors import make_tensors
from pipelines.data.prepared_folder import load_examples_part, load_first_raw, load_summary
from pipelines.data.stored_preprocessing import load_preprocessing
from pipelines.models.compose import compose_user_model
from pipelines.models.raw_predict import iterate_batches
from pipelines.models.user_model import has_call
from pipelines.spec.code_errors import describe_error
from pipelines.spec.code_references import split_reference
from pipelines.spec.installed_code import is_installed
from pipelines.training.messages import TrialJob
from pipelines.training.model_files import save_model
from pipelines.training.user_model.classes import list_user_classes
from search_spaces.errors import KerastudyError

_ROWS = 2
_REGISTER = "@keras.saving.register_keras_serializable()"
_INSTALLED = frozenset({"site-packages", "dist-packages"})
_UNSERIALIZABLE = re.compile(r"Object (\w+) was created by passing")


class ModelFileError(KerastudyError):
    """A model cannot be saved, or not loaded again; the message has the layer, the reason and what to do."""


def save_user_model(model: keras.Model, job: TrialJob, fold: int, file: Path) -> bool:
    """Save a trained user model, with its preprocessing where it has one, and load and call the file once.

    Returns:
        Whether Keras needs classes or functions of the user's code to load it.

    Raises:
        ModelFileError: if that fails; no file is left.
    """
    if not has_call(model):
        raise ModelFileError(f"{type(model).__name__} has no call, so it predicts nothing; give its class a call")
    base = Path(job.user_model.base) if job.user_model else Path()
    code, _ = split_reference(job.model, base, "model")
    try:
        deployed, rows = _prepare_deployment(model, Path(job.data), fold)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what they warn of, as a lambda, is tried below
            save_model(deployed, file)
        loaded = _load_without_code(file)
        needs_code = loaded is None
        if needs_code:
            with _forget_local_classes(), keras.saving.custom_object_scope(list_user_classes(job.model, base)):
                loaded = keras.saving.load_model(file, compile=False)
        _compare(deployed, loaded, rows)
    # Any code may run in a user model's call or serialization.
    except Exception as error:
        reason = error if isinstance(error, ModelFileError) else _explain(error, model, file, code)
        file.unlink(missing_ok=True)
        raise ModelFileError(str(reason)) from error
    return needs_code


def _load_without_code(file: Path) -> keras.Model | None:
    """Return a model as a process loads it that knows Keras alone; None where it cannot."""
    registered = keras.saving.get_custom_objects()
    known = dict(registered)
    registered.clear()
    try:
        return keras.saving.load_model(file, compile=False)
    # Keras's exceptions for what it does not know are of several kinds, and the cause follows with the code.
    except Exception:
        return None
    finally:
        registered.update(known)


@contextmanager
def _forget_local_classes() -> Iterator[None]:
    """Hide registered classes that a function of the user defines: an import alone does not make them."""
    registered = keras.saving.get_custom_objects()
    local = {name: each for name, each in registered.items() if "<locals>" in getattr(each, "__qualname__", "")}
    for name in [name for name, each in local.items() if _is_library(each)]:
        del local[name]
    for name in local:
        del registered[name]
    try:
        yield
    finally:
        registered.update(local)


def _is_library(defined: Any) -> bool:
    file = getattr(sys.modules.get(defined.__module__), "__file__", None)
    return file is not None and is_installed(file)


def list_unregistered(file: Path, job: TrialJob) -> list[str]:
    """Return classes and functions of the user that a model's file needs and that Keras finds by no name, in words."""
    code = split_reference(job.model, Path(job.user_model.base) if job.user_model else Path(), "model")[0].name
    found = dict.fromkeys(
        f"{part.kind} {part.name} of {part.place}" for part in _walk(_read_config(file)) if part.is_unregistered
    )
    return [f"{what} is registered by no name; decorate it in {code} with {_REGISTER}" for what in found]


def _prepare_deployment(model: keras.Model, data: Path, fold: int) -> tuple[keras.Model, Any]:
    """Return the model as it is deployed, and a few of its inputs."""
    if load_summary(data).given is not None:
        # It takes the data as it is, so it is deployed as it is.
        return model, make_tensors(load_examples_part(data, "validation", fold).take(slice(_ROWS)).x)
    raw = load_first_raw(data, "validation", fold, _ROWS)
    return compose_user_model(load_preprocessing(data, fold), model), next(iter(iterate_batches(raw)))


def _compare(deployed: keras.Model, loaded: keras.Model, rows: Any) -> None:
    expected, got, again = (_predict(model, rows) for model in (deployed, loaded, deployed))
    # A model that draws at random differs from itself.
    if all(map(_is_close, expected, again)) and not all(map(_is_close, expected, got)):
        raise ModelFileError("its file gives other outputs than the model: Keras saves no state outside its weights")


def _predict(model: keras.Model, rows: Any) -> list[np.ndarray[Any, Any]]:
    return [np.asarray(output) for output in keras.tree.flatten(model(rows, training=False))]


def _is_close(one: np.ndarray[Any, Any], other: np.ndarray[Any, Any]) -> bool:
    if one.dtype.kind not in "fiub":
        return bool(np.array_equal(one, other))
    return one.shape == other.shape and np.allclose(one, other, rtol=1e-3, atol=1e-4, equal_nan=True)


def _explain(error: Exception, model: keras.Model, file: Path, code: Path) -> str:
    """Return the reason of a failure with the layer that caused it, and what to do."""
    if (named := _UNSERIALIZABLE.search(str(error))) is not None:
        advice = f"give it a get_config that returns the arguments of its __init__, and decorate it with {_REGISTER}"
        return f"{_name_layer(model, named[1])} has no get_config; {advice}"
    written = list(_walk(_read_config(file))) if file.exists() else []
    for part in written:
        if part.kind == "lambda":
            advice = f"write a layer class, or a function with {_REGISTER}"
            return f"{part.place} holds a Python lambda, which Keras does not load; {advice}"
    # Keras puts the whole configuration before the reason.
    reason = ValueError(str(error).rpartition("Exception encountered: ")[2])
    text = describe_error(reason, code).partition(": ")[2]
    owner = next((part for part in written if part.name in text), None)
    if owner is None:
        return f"{type(error).__name__}: {text}"
    if "Could not locate" in text:
        return (
            f"{owner.kind} {owner.name} of {owner.place}: no import finds it; define it at the top level of {code.name}"
        )
    advice = "give it a get_config with all arguments of its __init__, which passes **keywords to its base class"
    return f"{owner.kind} {owner.name} of {owner.place}: {text}; {advice}"


def _name_layer(model: keras.Model, class_name: str) -> str:
    if type(model).__name__ == class_name:
        return f"the model's class {class_name}"
    layers = (layer for layer in model._flatten_layers() if type(layer).__name__ == class_name)
    return f'layer "{layer.name}" ({class_name})' if (layer := next(layers, None)) is not None else class_name


def _read_config(file: Path) -> Any:
    with zipfile.ZipFile(file) as archive:
        return json.loads(archive.read("config.json"))


@dataclass(frozen=True)
class _Part:
    """A class, function or lambda of the user in a model's configuration.

    Attributes:
        place: the layer that holds it.
        is_unregistered: whether Keras finds it by no name.
    """

    kind: str
    name: str
    place: str
    is_unregistered: bool = True


def _walk(node: Any, place: str = "") -> Iterator[_Part]:
    """Yield the parts of a configuration that are the user's; `place` is the layer that holds it."""
    if isinstance(node, list):
        for each in node:
            yield from _walk(each, place)
    if not isinstance(node, dict):
        return
    config = node.get("config")
    if "class_name" in node and isinstance(config, dict) and isinstance(config.get("name"), str):
        # The outermost one, and that which `compose_user_model` names so, is no layer to the user.
        is_whole = not place or config["name"].startswith("trained.")
        place = "the model" if is_whole else f'layer "{config["name"]}"'
    # Keras writes the bytes of a lambda, as a function of a Lambda layer or as an argument of any other.
    if node.get("class_name") == "__lambda__" or (node.keys() == {"value"} and isinstance(node["value"], list)):
        yield _Part("lambda", "lambda", place)
    elif node.get("class_name") == "function":
        yield _Part("function", str(config), place, is_unregistered=">" not in str(config))
    elif node.get("registered_name") and not _is_installed(node.get("module")):
        name = str(node["class_name"])
        yield _Part("class", name, place, is_unregistered=node["registered_name"] == name)
    for value in node.values():
        yield from _walk(value, place)


def _is_installed(module: str | None) -> bool:
    """Return whether a class's module can be imported wherever its package is installed."""
    file = getattr(sys.modules.get(module or ""), "__file__", None)
    return file is not None and not _INSTALLED.isdisjoint(Path(file).parts)
