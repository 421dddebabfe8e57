"""Conversion by a format's converter: of the whole model if possible, else of the network alone.

Preprocessing may have no form in a format: ONNX has no lookup of words. Then the file holds the network, and the
preprocessing is written as a `.keras` file.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from pipelines.data.array_types import Array
from pipelines.export.base import FormatError, Part, Predict, SourceModel

PREPROCESSING_FILE = "preprocessing.keras"
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Conversion(Generic[_Result]):
    """Result of a converter, the part of the model that it holds, and the reason if that is not the whole."""

    result: _Result
    part: Part = "model"
    note: str = ""


def convert_model(deployed: SourceModel, convert: Callable[[Any], _Result], form: str) -> Conversion[_Result]:
    """Convert the whole model, or the network where there is preprocessing that has no such form.

    Args:
        deployed: the model.
        convert: converts a Keras model; any exception means that the model has no such form.
        form: the format in words, for the note.

    Raises:
        FormatError: if the network cannot be converted either; names the layer.
    """
    if deployed.preprocessing is None:
        return Conversion(convert_network(deployed, convert, form))
    try:
        return Conversion(convert_quietly(convert, deployed.model))
    except Exception:  # converters raise exceptions of any kind
        # First: if the network fails too, nothing in the preprocessing is to be searched.
        result = convert_network(deployed, convert, form)
        culprit = _find_failing_layer(deployed.preprocessing, convert)
        note = f"{culprit} has no {form} form: the file holds the network alone"
        return Conversion(result, "network", note)


def convert_network(deployed: SourceModel, convert: Callable[[Any], _Result], form: str) -> _Result:
    """Convert the network alone.

    Raises:
        FormatError: if it cannot be converted; names the layer.
    """
    try:
        return convert_quietly(convert, deployed.network)
    except Exception as error:  # converters raise exceptions of any kind
        message = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise FormatError(
            f"{_find_failing_layer(deployed.network, convert)} has no {form} form: {message[:300]}"
        ) from error


def write_preprocessing(deployed: SourceModel, folder: Path) -> str:
    """Write the preprocessing, unless another format has written it, and return the file's name."""
    file = folder / PREPROCESSING_FILE
    # Several formats of one export share this file.
    if not file.exists():
        deployed.preprocessing.save(file)
    return file.name


def load_preprocessing(file: Path) -> Callable[[Mapping[str, Array]], dict[str, Array]]:
    """Return a function from raw columns to the inputs of the network; it needs TensorFlow."""
    import keras

    from pipelines.models.raw_predict import iterate_batches

    model = keras.models.load_model(file)

    def prepare(raw: Mapping[str, Array]) -> dict[str, Array]:
        import numpy as np

        answers = [model(batch, training=False) for batch in iterate_batches(raw)]
        return {name: np.concatenate([np.asarray(answer[name]) for answer in answers]) for name in answers[0]}

    return prepare


def prepend_preprocessing(predict: Predict, preprocessing: Path | None) -> Predict:
    """Return a prediction function on raw columns: `predict` after the preprocessing in a file, if there is one."""
    if preprocessing is None:
        return predict
    prepare = load_preprocessing(preprocessing)
    # Raw inputs that need no preparation go to the network as they are.
    return lambda raw: predict({**raw, **prepare(raw)})


def convert_quietly(convert: Callable[[Any], _Result], model: Any) -> _Result:
    """Convert without the warnings of converters, which are about their own code."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return convert(model)


def _find_failing_layer(model: Any, convert: Callable[[Any], Any]) -> str:
    """Return the first layer that does not convert alone, in words; the model where each layer does."""
    import keras

    # Layers on words first: most formats lack them, and each conversion takes a second.
    for layer in sorted(iterate_leaves(model), key=lambda layer: not _is_text_layer(layer)):
        try:
            # Converters report operators and not layers, so each layer is tried alone.
            alone = keras.Model(layer.input, layer.output)
        except (AttributeError, ValueError):  # a layer that is used more than once has no single input
            continue
        try:
            convert_quietly(convert, alone)
        except Exception:  # converters raise exceptions of any kind
            return f'layer "{layer.name}" ({type(layer).__name__})'
    return f'model "{model.name}" ({type(model).__name__})'


def _is_text_layer(layer: Any) -> bool:
    return getattr(getattr(layer, "input", None), "dtype", "") == "string"


def iterate_leaves(model: Any) -> Iterator[Any]:
    """Yield the layers of a model and of the models in it, but not the layers inside a layer."""
    import keras

    for layer in model.layers:
        if isinstance(layer, keras.layers.InputLayer):
            continue
        # A subclassed model has no graph of layers, and is tried as a whole.
        if isinstance(layer, keras.Model) and getattr(layer, "inputs", None):
            yield from iterate_leaves(layer)
        else:
            yield layer
