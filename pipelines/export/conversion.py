"""What formats with a converter of their own share: the whole model where it converts, else the network alone.

Preprocessing may have no form in a format, as a lookup of words has none in ONNX. Then the network is written, and the
preprocessing goes beside it as a `.keras` file.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from pipelines.data.prepared import Array
from pipelines.export.base import FormatError, Part, Predict, SourceModel

PREPROCESSING_FILE = "preprocessing.keras"
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Conversion(Generic[_Result]):
    """What a converter made, of what part, and why not of all."""

    result: _Result
    part: Part = "model"
    note: str = ""


def convert_model(deployed: SourceModel, convert: Callable[[Any], _Result], form: str) -> Conversion[_Result]:
    """Convert the whole model, or the network where the preprocessing has no such form.

    Args:
        deployed: the model.
        convert: makes something of a Keras model; whatever it raises means that it cannot.
        form: the format in words, for the note.

    Raises:
        FormatError: if the network cannot be converted either; names the layer.
    """
    try:
        return Conversion(convert_quietly(convert, deployed.model))
    except Exception:  # converters raise whatever they like
        result = convert_network(deployed, convert, form)
        note = f"{_find_failing_layer(deployed.preprocessing, convert)} has no {form} form: the file holds the network alone"
        return Conversion(result, "network", note)


def convert_network(deployed: SourceModel, convert: Callable[[Any], _Result], form: str) -> _Result:
    """Convert the network alone.

    Raises:
        FormatError: if it cannot be converted; names the layer.
    """
    try:
        return convert_quietly(convert, deployed.network)
    except Exception as error:  # converters raise whatever they like
        said = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise FormatError(f"{_find_failing_layer(deployed.network, convert)} has no {form} form: {said[:300]}") from error


def write_preprocessing(deployed: SourceModel, folder: Path) -> str:
    """Write the preprocessing unless another format has, and return its file's name."""
    file = folder / PREPROCESSING_FILE
    if not file.exists():
        deployed.preprocessing.save(file)
    return file.name


def load_preprocessing(file: Path) -> Callable[[Mapping[str, Array]], dict[str, Array]]:
    """Return a function from raw columns to what the network takes, which needs TensorFlow."""
    import keras

    from pipelines.models.raw_predict import iterate_batches

    model = keras.models.load_model(file)

    def prepare(raw: Mapping[str, Array]) -> dict[str, Array]:
        import numpy as np

        answers = [model(batch, training=False) for batch in iterate_batches(raw)]
        return {name: np.concatenate([np.asarray(answer[name]) for answer in answers]) for name in answers[0]}

    return prepare


def prepend_preprocessing(predict: Predict, preprocessing: Path | None) -> Predict:
    """Return predictions from raw columns, of a file that holds the network alone where `preprocessing` is given."""
    if preprocessing is None:
        return predict
    prepare = load_preprocessing(preprocessing)
    return lambda raw: predict(prepare(raw))


def convert_quietly(convert: Callable[[Any], _Result], model: Any) -> _Result:
    """Convert, without the warnings of converters: they are about their own insides, which nobody here can change."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return convert(model)


def _find_failing_layer(model: Any, convert: Callable[[Any], Any]) -> str:
    """Return the first layer that does not convert by itself, in words; the model where every one does."""
    import keras

    # Words are what most formats lack, and each try takes a second.
    for layer in sorted(iterate_leaves(model), key=lambda layer: not _is_text_layer(layer)):
        try:
            alone = keras.Model(layer.input, layer.output)
        except (AttributeError, ValueError):  # used more than once, or never by itself
            continue
        try:
            convert_quietly(convert, alone)
        except Exception:  # converters raise whatever they like
            return f'layer "{layer.name}" ({type(layer).__name__})'
    return f'model "{model.name}" ({type(model).__name__})'


def _is_text_layer(layer: Any) -> bool:
    return getattr(getattr(layer, "input", None), "dtype", "") == "string"


def iterate_leaves(model: Any) -> Iterator[Any]:
    """Yield the layers of a model and of the models in it; what a layer holds inside is its own affair."""
    import keras

    for layer in model.layers:
        if isinstance(layer, keras.layers.InputLayer):
            continue
        if isinstance(layer, keras.Model) and getattr(layer, "inputs", None):
            yield from iterate_leaves(layer)
        else:
            yield layer
