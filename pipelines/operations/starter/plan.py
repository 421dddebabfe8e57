"""Model and space that suit a data set, by its features and its rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipelines.data.prepared import DataSummary, Features
from pipelines.models.catalogue import find_family
from search_spaces.shipped_spaces import read_shipped

_SMALL, _LARGE = 1_000, 20_000  # training rows; the shipped spaces state theirs
_BATCHES_AN_EPOCH = 5  # of the largest batch size that is tried


@dataclass(frozen=True)
class Plan:
    """A model, its space and its budget, each with the reason.

    Attributes:
        others: other families that take this data, in words.
        space: the search space, as a study file has it.
        space_name: name of the shipped space that it is from.
    """

    model: str
    why: str
    others: str
    space: Mapping[str, Any]
    space_name: str
    trials: int
    time: str


def choose_plan(summary: DataSummary) -> Plan:
    """Return the plan for prepared data."""
    rows = summary.rows["train"]
    model, why, others = choose_model(summary.features)
    name = model
    if model == "mlp":
        name = "mlp-small" if rows < _SMALL else "mlp-large" if rows >= _LARGE else "mlp"
    space = _fit_batches(_drop_idle(_read_written(name), model, summary.features), rows)
    if model == "series" and summary.features.series is not None:
        space = _add_window(space, summary.features.series[0])
    is_light = model == "mlp"
    time = "10m" if rows < _SMALL else "30m" if rows < _LARGE else "1h"
    return Plan(model, why, others, space, name, 30 if is_light else 20, time)


def choose_model(features: Features) -> tuple[str, str, str]:
    """Return the family for features, why, and which others take them."""
    has_columns = bool(features.dense or features.codes)
    kinds = {
        "columns": has_columns,
        "text": bool(features.text),
        "images": features.image is not None,
        "series": features.series is not None,
    }
    found = [kind for kind, is_there in kinds.items() if is_there]
    if found == ["images"]:
        return "cnn", "pictures", "transfer starts from a trained network"
    if found == ["series"]:
        return "series", "series of steps", "mlp reads the steps as one row"
    if found in (["text"], ["columns", "text"]):
        return "text", "columns of text", "mixed has a network for each kind of column"
    if found == ["columns"]:
        others = "tabular has residual blocks and attention, and takes longer"
        return "mlp", "numbers and categories", others
    return "mixed", f"{' and '.join(found)} together", "file.py:function is a model of yours"


def _read_written(name: str) -> dict[str, Any]:
    """Return a shipped space as it is written, with the one that it extends: short, as a person would write it."""
    written = dict(read_shipped(name).data)
    extended = written.pop("extends", None)
    return {**(_read_written(extended) if extended else {}), **written}


def _drop_idle(space: Mapping[str, Any], model: str, features: Features) -> dict[str, Any]:
    """Return a space without the hyperparameters of encoders for which the data has no columns."""
    family = find_family(model)
    found = {name: family.find(name) for name in space}
    return {
        name: value
        for name, value in space.items()
        if (each := found[name]) is None or not each.forms or any(getattr(features, form) for form in each.forms)
    }


def _add_window(space: Mapping[str, Any], steps: int) -> dict[str, Any]:
    """Return a space that searches how many of a window's steps are used, by quarters; as it is for short windows."""
    if (quarter := steps // 4) < 1:
        return dict(space)
    # From the end: all steps are among the choices.
    return {**space, "window": {"type": "int", "low": steps - 3 * quarter, "high": steps, "step": quarter}}


def _fit_batches(space: Mapping[str, Any], rows: int) -> dict[str, Any]:
    """Return a space whose batches are small enough for some steps an epoch."""
    fitted = dict(space)
    batch = fitted.get("batch_size")
    choices = batch.get("choices") if isinstance(batch, dict) else batch
    if not isinstance(choices, list):
        return fitted
    usable = [size for size in choices if size * _BATCHES_AN_EPOCH <= rows] or [min(choices)]
    if usable == choices:
        return fitted
    if len(usable) == 1:
        fitted["batch_size"] = usable[0]
    else:
        default = batch.get("default") if isinstance(batch, dict) else None
        kept = {"default": default} if default in usable else {}
        fitted["batch_size"] = {"choices": usable, **kept}
    return fitted
