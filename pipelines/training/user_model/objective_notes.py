"""Notes on a user model's objective that is measured otherwise than its author may think."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras

from pipelines.training.batches import Rows


def note_unweighted_objective(model: keras.Model, metric: str, rows: Rows) -> list[str]:
    """Return a note where the objective is one of the model's metrics that do not weigh rows, and rows have weights."""
    # Private to Keras, which has no public way to see which metric is weighted.
    compiled = getattr(model, "_compile_metrics", None)
    if rows.train.sample_weight is None or compiled is None or not compiled.built:
        return []
    plain, weighted = (set(_list_names(each)) for each in (compiled._flat_metrics, compiled._flat_weighted_metrics))
    bare = metric.removeprefix("val_")
    # Keras's rule: the weighted one of two metrics of one name has a prefix.
    if bare not in plain or bare.startswith("weighted_"):
        return []
    known = f"objective.metric: {'val_' if metric != bare else ''}weighted_{bare} weighs them"
    advice = known if bare in weighted else "name the metric as weighted_metrics of compile() to weigh them"
    return [f"the objective {metric} counts all rows alike, and they have weights; {advice}"]


def note_objective_of_steps(model: keras.Model, metric: str, value: float) -> list[str]:
    """Return a note where an objective is 0 since the model's own steps return it without updating a metric."""
    own = [name for name in ("train_step", "test_step") if getattr(type(model), name) is not getattr(keras.Model, name)]
    if value != 0.0 or not own:
        return []
    # Keras's rule where a step returns the names of the model's metrics and no others.
    return [
        f"{metric} is exactly 0: Keras reports the model's metrics where {' or '.join(own)} returns values of their "
        "names; update those metrics in the step, or return other names"
    ]


def _list_names(lists: Any) -> Iterator[str]:
    """Yield the names that Keras reports metrics by, those of an output with its name before them."""
    for each in filter(None, lists):
        for metric in each.metrics:
            yield f"{each.output_name}_{metric.name}" if each.output_name else metric.name
