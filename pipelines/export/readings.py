"""Readings of a model's outputs: which decision a prediction stands for, and its meaning in words.

A family's outputs are the task's. A user model's are what its code makes them; the loss shows which are logits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pipelines.data.prepared import Task
from pipelines.export.base import OutputTensor, Reading

if TYPE_CHECKING:
    import keras

UNKNOWN = "as the model's code defines it"
_BY_CLASS = ("categoricalcrossentropy", "categoricalfocalcrossentropy", "categoricalgeneralizedcrossentropy")
_BY_THRESHOLD = ("binarycrossentropy", "binaryfocalcrossentropy")
_DISTANCES = (
    *("meansquarederror", "meanabsoluteerror", "meanabsolutepercentageerror", "meansquaredlogarithmicerror"),
    *("huber", "logcosh", "poisson", "mse", "mae", "mape", "msle"),
)


def read_by_task(task: Task, outputs: Sequence[OutputTensor]) -> tuple[OutputTensor, ...]:
    """Return the only output of a family's model with its reading; of several heads that of each."""
    if task.heads:
        heads = {head.output: head for head in task.heads}
        return tuple(each for output in outputs for each in read_by_task(heads[output.name], [output]))
    if task.kind == "multi_label":
        reading = Reading("threshold", 0.5, "probability of each label")
    elif task.kind == "binary":
        reading = Reading("threshold", 0.5, "probability of the second class")
    elif task.classes:
        reading = Reading("class", meaning="probability of each class")
    else:
        reading = Reading("value", meaning="value of each target")
    return tuple(replace(output, reading=reading) for output in outputs)


def read_by_loss(model: keras.Model | None, task: Task, outputs: Sequence[OutputTensor]) -> tuple[OutputTensor, ...]:
    """Return the outputs of a user model with their readings.

    Args:
        model: the model as its code compiles it; None where that is not known.
        task: the task of its data.
        outputs: the outputs in the order of Keras's `flatten`.
    """
    losses = _assign_losses(getattr(model, "loss", None), outputs)
    return tuple(
        replace(output, reading=_read(loss, task, output)) for loss, output in zip(losses, outputs, strict=True)
    )


def _assign_losses(loss: Any, outputs: Sequence[OutputTensor]) -> list[Any]:
    if isinstance(loss, Mapping):
        return [loss.get(output.name) for output in outputs]
    if isinstance(loss, list | tuple):
        return list(loss) if len(loss) == len(outputs) else [None] * len(outputs)
    return [loss] * len(outputs)


def _read(loss: Any, task: Task, output: OutputTensor) -> Reading:
    # A loss may be a name, an instance or a function; the names differ in case and underscores only.
    name = loss if isinstance(loss, str) else getattr(loss, "__name__", type(loss).__name__)
    name = name.replace("_", "").lower().removeprefix("sparse")
    width = output.shape[-1] if output.shape else 1
    if name in _BY_CLASS and width != 1:
        return Reading("class", meaning=f"{_name_number(loss)} of each class")
    if name in _BY_THRESHOLD:
        number = _name_number(loss)
        return Reading(
            "threshold",
            0.0 if number == "logit" else 0.5,
            f"{number} of the second class" if width == 1 else f"{number} of each label",
        )
    if task.kind != "custom" and len(task.classes) == width != 1:
        return Reading("class", meaning=UNKNOWN)
    if name in _DISTANCES and not task.classes and len(task.targets) == width:
        return Reading("value", meaning="value of each target")
    return Reading("value", meaning="value" if name in _DISTANCES else UNKNOWN)


def _name_number(loss: Any) -> str:
    # Only Keras's instances know it: a name has the default, which is probabilities.
    config = loss.get_config() if hasattr(loss, "get_config") else {}
    return "logit" if config.get("from_logits") else "probability"
