"""Whether a study's trials can train in fleets, by its file and by its data.

It imports no sampler, so that a command can start loading what its study trains with before anything else.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Mapping

from pipelines.data.prepared import DataSummary
from pipelines.models.catalogue import find_family
from pipelines.models.catalogue.encoders import calculate_embedding_width
from pipelines.models.objectives import WHOLE_BATCH_LOSSES
from pipelines.spec.schema import MEASURED_OF_FILES
from pipelines.study.study import Study
from pipelines.training.fleet.grouping import Sizes
from pipelines.training.fleet.member import FAMILIES
from pipelines.training.messages import MOST_BYTES
from search_spaces.values import Value, format_value

_BLOCKS: Mapping[str, Value] = {
    **{"residual": False, "separable": False},
    **{"rotation": 0.0, "translation": 0.0, "zoom": 0.0, "flip": "none"},
}
"""Blocks of convolutions that fleets have: hyperparameters with the only value of each."""

_FOLDS = "cross-validation trains each fold on data of its own"


def find_ineligible_reason(study: Study) -> str:
    """Return why no trial of a study can train in a fleet, by its file alone; empty where they can."""
    spec = study.spec
    if spec.resources.fleet == "off":
        return "resources.fleet is off"
    if spec.resources.devices != 1:
        return f"resources.devices is {spec.resources.devices}"
    if study.has_user_model:
        return "a user model is trained by its own code"
    if spec.model not in FAMILIES:
        return f"only the families {' and '.join(FAMILIES)} train in fleets"
    if spec.model == "cnn" and (reason := _find_ineligible_block(study)):
        return reason
    if spec.training.loss in WHOLE_BATCH_LOSSES:
        return f"{spec.training.loss} is one number for a whole batch"
    if spec.training.seeds > 1:
        return "training.seeds trains each trial several times"
    if spec.limits.model_memory is not None:
        return "limits.model_memory is compared with each trial's model"
    if spec.objectives and any(goal.metric in MEASURED_OF_FILES for goal in spec.objectives):
        return "objectives measure each model's file, and a fleet leaves weights"
    if spec.data.split.folds is not None:
        return _FOLDS
    # Looked up and not imported, which takes seconds.
    if importlib.util.find_spec("jax") is None:
        return 'JAX is not installed; install the extra "jax"'
    return ""


def _find_ineligible_block(study: Study) -> str:
    """Return which hyperparameter of the space makes blocks that fleets do not have; empty where none does."""
    for parameter in find_family("cnn").parameters:
        name = parameter.name
        found = study.space.parameters.get(name)
        # Where a condition does not hold, a trial has the family's default.
        values = (*(found.bounds if found else ()), *((parameter.default,) if not found or found.when else ()))
        if name in _BLOCKS and set(values) != {_BLOCKS[name]}:
            return f"of convolutions fleets have those with {name}: {format_value(_BLOCKS[name])} alone"
    return ""


def find_ineligible_data(study: Study, summary: DataSummary) -> str:
    """Return why no trial of a study can train in a fleet, by its data; empty where they can."""
    if summary.folds > 1:
        return _FOLDS
    if summary.task.kind == "multi_label":
        return "fleets predict one class or numbers, and rows have several labels"
    if summary.task.heads:
        return "fleets predict one target, and each of several has a head of the model"
    if summary.features.text or summary.features.series:
        return "fleets take numbers, categories and images, and the data holds text or series"
    if summary.streaming:
        return "rows are read from disk batch by batch (data.streaming)"
    sizes = estimate_sizes(summary, 1)
    # 4 bytes a float32.
    if 4 * sizes.inputs * sum(summary.rows.values()) > MOST_BYTES:
        return "the data does not fit in memory"
    return ""


def estimate_sizes(summary: DataSummary, trials: int) -> Sizes:
    """Return the sizes that so many trials on this data have in common."""
    features = summary.features
    image = math.prod(features.image) if features.image else 0
    embedded = sum(calculate_embedding_width(count) for _, count in features.codes)
    inputs = features.dense + image + embedded
    return Sizes(summary.rows["train"], inputs, summary.task.outputs, max(1, trials), features.image or ())
