"""Losses, metrics and objectives by task: names, directions and defaults.

There are only names here and no Keras: the supervisor checks a study's loss, metrics and objective before any training.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from pipelines.data.prepared import Task, TaskKind
from pipelines.spec.schema import ObjectiveSpec, TrainingSpec
from search_spaces.errors import InputError, Problem, find_closest, suggest_choice
from search_spaces.values import Direction

_DISTANCES = ("mean_squared_error", "mean_absolute_error", "huber", "log_cosh")
_REGRESSION_LOSSES = (
    *_DISTANCES,
    *("mean_absolute_percentage_error", "mean_squared_logarithmic_error", "poisson"),
)

LOSSES: Mapping[TaskKind, tuple[str, ...]] = {
    "binary": (
        *("binary_crossentropy", "binary_focal_crossentropy", "hinge", "squared_hinge"),
        *("dice", "tversky", "poisson"),
        *_DISTANCES,
    ),
    "multiclass": (
        *("sparse_categorical_crossentropy", "categorical_crossentropy", "categorical_focal_crossentropy"),
        *("categorical_generalized_cross_entropy", "categorical_hinge", "hinge", "squared_hinge"),
        *("kl_divergence", "cosine_similarity", "dice", "tversky", "poisson"),
        *_DISTANCES,
    ),
    "multi_label": ("binary_crossentropy", "binary_focal_crossentropy", *_DISTANCES),
    "regression": _REGRESSION_LOSSES,
    "multi_output_regression": (*_REGRESSION_LOSSES, "cosine_similarity"),
}
"""Keras's losses by task, the default first. `ctc` and `circle` fit none of these tasks."""

SMOOTHED_LOSSES = frozenset(
    {
        *("binary_crossentropy", "binary_focal_crossentropy", "sparse_categorical_crossentropy"),
        *("categorical_crossentropy", "categorical_focal_crossentropy"),
    }
)
"""The losses that `label_smoothing` acts on."""

POSITIVE_LOSSES = frozenset({"poisson", "mean_squared_logarithmic_error"})
"""Regression losses that are defined for predictions above 0 only."""

WHOLE_BATCH_LOSSES = frozenset({"dice", "tversky"})
"""Losses that are one number for a whole batch, and not a mean over rows."""

_DISTANCE_METRICS = ("mean_squared_error", "root_mean_squared_error", "mean_absolute_error")
_COUNT_METRICS = ("precision", "recall", "true_positives", "true_negatives", "false_positives", "false_negatives")
_REGRESSION_METRICS = (
    *_DISTANCE_METRICS,
    *("mean_absolute_percentage_error", "mean_squared_logarithmic_error", "logcosh", "r2_score"),
)

METRICS: Mapping[TaskKind, tuple[str, ...]] = {
    "binary": (
        *("accuracy", "binary_accuracy", "balanced_accuracy", "auc", "f1_score", "binary_crossentropy"),
        *_COUNT_METRICS,
        *_DISTANCE_METRICS,
    ),
    "multiclass": (
        *("accuracy", "sparse_categorical_accuracy", "sparse_top_k_categorical_accuracy", "balanced_accuracy"),
        *("auc", "f1_score"),
        *("sparse_categorical_crossentropy", "categorical_crossentropy", "categorical_hinge"),
        *("kl_divergence", "mean_iou"),
        *_COUNT_METRICS,
        *_DISTANCE_METRICS,
    ),
    "multi_label": (
        *("auc", "binary_accuracy", "f1_score", "binary_crossentropy"),
        *_COUNT_METRICS,
        *_DISTANCE_METRICS,
    ),
    "regression": _REGRESSION_METRICS,
    "multi_output_regression": (*_REGRESSION_METRICS, "cosine_similarity"),
}
"""Keras's metrics by task, under the names in Keras's reports, and the balanced accuracy, which Keras has not.

Left out: the correlations (Keras averages them over batches), `poisson` (not a number for predictions below 0), and the
binary hinges (they need margins, and the model predicts probabilities).
"""

_DEFAULT_METRICS: Mapping[TaskKind, tuple[str, ...]] = {
    "binary": ("accuracy", "auc"),
    "multiclass": ("accuracy",),
    "multi_label": ("auc", "binary_accuracy"),
    "regression": ("root_mean_squared_error", "mean_absolute_error"),
    "multi_output_regression": ("root_mean_squared_error", "mean_absolute_error"),
}

# All others are minimised, the losses among them.
_HIGHER_IS_BETTER = frozenset(
    {
        *("accuracy", "binary_accuracy", "sparse_categorical_accuracy", "sparse_top_k_categorical_accuracy"),
        *("balanced_accuracy", "auc", "f1_score", "mean_iou", "precision", "recall"),
        *("true_positives", "true_negatives", "r2_score", "cosine_similarity"),
    }
)
_SHARES = ("accuracy", "auc", "precision", "recall", "f1_score", "mean_iou")
_ROUNDING = 1e-6  # Keras computes metrics in float32
_WEIGHTED = "weighted_"
_METRIC_NAMES = frozenset(name for names in METRICS.values() for name in names)


def list_losses() -> list[str]:
    """Return the losses that fit some task."""
    return sorted({name for names in LOSSES.values() for name in names})


def list_metrics() -> list[str]:
    """Return the metrics that fit some task."""
    return sorted(_METRIC_NAMES)


def find_default_objective(
    kind: TaskKind, *, is_weighted: bool = False, default_metric: str = ""
) -> tuple[str, Direction]:
    """Return the default objective of a task, metric and direction; it weighs rows that have weights.

    Args:
        kind: of the task.
        is_weighted: whether rows have weights.
        default_metric: that of the task, in place of its kind's; see `Task`.
    """
    # Else a best epoch would be chosen by a score that contradicts the loss.
    metric = f"val_{_WEIGHTED if is_weighted else ''}{default_metric or _DEFAULT_METRICS[kind][0]}"
    return metric, "minimize" if kind in {"regression", "multi_output_regression"} else "maximize"


def resolve_loss(kind: TaskKind, training: TrainingSpec) -> str:
    """Return the name of the loss that a study trains with.

    Raises:
        InputError: if the declared loss does not fit the task.
    """
    if training.heads:
        message = "heads are for several targets with a task each, and here they have one; remove this key, or set "
        raise InputError(
            Problem(f"{message}data.tasks: {{{next(iter(training.heads))}: regression}}", "training.heads")
        )
    if training.loss is None:
        return LOSSES[kind][0]
    if training.loss not in LOSSES[kind]:
        raise InputError(Problem(_explain_mismatch("loss", training.loss, kind, LOSSES), "training.loss"))
    return training.loss


def resolve_metrics(kind: TaskKind, training: TrainingSpec) -> tuple[str, ...]:
    """Return the metrics that training reports in addition to the loss: the task's defaults, then the declared ones.

    Raises:
        InputError: if a declared metric does not fit the task; all of them at once.
    """
    _check_metrics(kind, "metrics", training.metrics)
    return tuple(dict.fromkeys((*_DEFAULT_METRICS[kind], *training.metrics)))


def resolve_weighted_metrics(kind: TaskKind, training: TrainingSpec, *, is_weighted: bool) -> Mapping[str, str]:
    """Return the metrics that weigh rows, by the names that Keras reports them under.

    These are the declared ones, after the task's defaults where rows have weights.

    Raises:
        InputError: if a declared metric does not fit the task; all of them at once.
    """
    _check_metrics(kind, "weighted_metrics", training.weighted_metrics)
    names = dict.fromkeys((*(_DEFAULT_METRICS[kind] if is_weighted else ()), *training.weighted_metrics))
    plain = resolve_metrics(kind, training)
    # Keras's rule: only where both have the name is it prefixed.
    return {f"{_WEIGHTED}{name}" if name in plain else name: name for name in names}


def check_weights_act(training: TrainingSpec, *, is_weighted: bool) -> None:
    """Check that training can use the weights of rows that have some, and uses none of rows that have not.

    Raises:
        InputError: if it cannot.
    """
    if is_weighted and training.loss in WHOLE_BATCH_LOSSES:
        message = f"{training.loss} is one number for a whole batch and cannot weigh rows; use another loss"
        raise InputError(Problem(message, "training.loss"))
    if training.weighted_metrics and not is_weighted and training.class_weight is None:
        message = "the rows have no weights; name their column as data.weight, or move these names to training.metrics"
        raise InputError(Problem(message, "training.weighted_metrics"))


def list_reported_metrics(kind: TaskKind, training: TrainingSpec, *, is_weighted: bool = False) -> tuple[str, ...]:
    """Return every name that an epoch of training reports: loss and metrics, on training and validation rows.

    Raises:
        InputError: as `resolve_metrics` does.
    """
    weighted = resolve_weighted_metrics(kind, training, is_weighted=is_weighted)
    names = ("loss", *resolve_metrics(kind, training), *weighted)
    return (*names, *(f"val_{name}" for name in names))


def strip_prefixes(metric: str) -> str:
    """Return the name of a metric without `val_` and `weighted_`."""
    return metric.removeprefix("val_").removeprefix(_WEIGHTED)


def is_share(metric: str, scores: Iterable[float] = ()) -> bool:
    """Return whether a metric is a share of rows, or behaves as one, by its name and by these scores.

    A user model's metric of such a name may be in per cent.

    >>> is_share("val_accuracy", [0.5, 1.0]), is_share("val_accuracy", [50.0]), is_share("val_loss", [0.5])
    (True, False, False)
    """
    return metric.endswith(_SHARES) and all(-_ROUNDING <= score <= 1 + _ROUNDING for score in scores)


def find_bounds(metric: str, scores: Sequence[float]) -> tuple[float, float]:
    """Return the least and the largest value of a metric, as far as its name shows and these scores keep them.

    >>> find_bounds("val_accuracy", [0.5]), find_bounds("val_accuracy", [50.0]), find_bounds("val_mean_error", [2.0])
    ((0.0, 1.0), (-inf, inf), (0.0, inf))
    """
    if is_share(metric, scores):
        return 0.0, 1.0
    is_positive = metric.endswith(("_error", "_crossentropy")) and min(scores, default=0.0) >= 0
    return (0.0 if is_positive else -math.inf), math.inf


def find_direction(metric: str) -> Direction | None:
    """Return the direction of `metric`, with or without `val_` and `weighted_`; None for an unknown name."""
    return _resolve_direction(metric) if strip_prefixes(metric) in {"loss", *_METRIC_NAMES} else None


def resolve_objective(
    kind: TaskKind,
    training: TrainingSpec,
    objective: ObjectiveSpec | None,
    *,
    is_weighted: bool = False,
    default_metric: str = "",
) -> tuple[str, Direction]:
    """Return the objective that trials are scored on: metric and direction.

    Raises:
        InputError: if training cannot report the declared metric.
    """
    if objective is None:
        return find_default_objective(kind, is_weighted=is_weighted, default_metric=default_metric)
    reported = list_reported_metrics(kind, training, is_weighted=is_weighted)
    if objective.metric not in {*reported, *list_reportable(kind, is_weighted=is_weighted)}:
        raise InputError(explain_unreported_metric(objective.metric, reported, METRICS[kind]))
    return objective.metric, objective.direction or _resolve_direction(objective.metric)


def add_metrics(
    kind: TaskKind, training: TrainingSpec, objectives: Iterable[str], *, is_weighted: bool = False
) -> TrainingSpec:
    """Return the settings of training with the metrics that objectives need and `training` does not name."""
    for objective in objectives:
        reported = list_reported_metrics(kind, training, is_weighted=is_weighted)
        if objective in reported or objective not in list_reportable(kind, is_weighted=is_weighted):
            continue
        name, added = strip_prefixes(objective), {}
        for key in ("metrics", "weighted_metrics") if _WEIGHTED in objective else ("metrics",):
            added[key] = list(dict.fromkeys((*getattr(training, key), name)))
        training = training.model_copy(update=added)
    return training


def list_reportable(kind: TaskKind, *, is_weighted: bool) -> set[str]:
    """Return the names of metrics that training reports once they are declared, on training and validation rows."""
    weighted = {f"{_WEIGHTED}{name}" for name in METRICS[kind]} if is_weighted else set()
    return {name for metric in (*METRICS[kind], *weighted) for name in (metric, f"val_{metric}")}


def note_unweighted_objective(
    kind: TaskKind, training: TrainingSpec, objective: ObjectiveSpec | None, output: str = ""
) -> list[str]:
    """Return a note where a declared objective counts rows alike, and rows have weights.

    Args:
        kind: of the task.
        training: the settings.
        objective: the declared one, of a head by the name that its metric has there.
        output: beginning of the metric's name in reports, of a head.
    """
    if objective is None or strip_prefixes(objective.metric) == "loss" or _WEIGHTED in objective.metric:
        return []
    bare = objective.metric.removeprefix("val_")
    if bare in resolve_weighted_metrics(kind, training, is_weighted=True):  # only the weighted one is reported
        return []
    before = f"{objective.metric.removesuffix(bare)}{output}"
    return [
        f"the objective {before}{bare} counts all rows alike, and they have weights; "
        f"objective.metric: {before}{_WEIGHTED}{bare} weighs them"
    ]


def note_default_objective(task: Task) -> Iterator[str]:
    """Yield a note where a study names no objective, and a rare class decides it."""
    if not task.default_metric:
        return
    metric, _ = find_default_objective(task.kind, is_weighted=task.is_weighted, default_metric=task.default_metric)
    usual, _ = find_default_objective(task.kind, is_weighted=task.is_weighted)
    areas = "the area under the ROC curve" if task.kind == "binary" else "the mean area under each class's ROC curve"
    yield (
        f"the objective is {metric}, {areas}, since a class is rare and accuracy is high without it; "
        f"objective.metric: {usual} changes that"
    )


def explain_unreported_metric(metric: str, reported: Collection[str], known: Iterable[str]) -> Problem:
    """Return the problem with an objective that training does not report.

    Args:
        metric: the declared metric.
        reported: every name that training reports.
        known: metrics that it could report too.
    """
    known, name = set(known), strip_prefixes(metric)
    if name in known and metric.removeprefix("val_").startswith(_WEIGHTED):
        message = f'training does not report "{metric}": the rows have no weights; name their column as data.weight'
        return Problem(message, "objective.metric")
    if name not in known and name in _METRIC_NAMES:
        kinds = ", ".join(kind for kind, names in METRICS.items() if name in names)
        message = f'"{metric}" scores another task ({kinds}); {suggest_choice(metric, reported)}'
        return Problem(message, "objective.metric")
    # Misspelt names are searched among all that could be reported, not only among what is.
    close = find_closest(metric, {*reported, *known, *(f"val_{name}" for name in known)})
    hint = suggest_choice(metric, reported) if close is None or close in reported else f'did you mean "{close}"?'
    return Problem(f'training never reports "{metric}"; {hint}', "objective.metric")


def resolve_user_objective(objective: ObjectiveSpec | None) -> tuple[str, Direction]:
    """Return metric and direction for a user model, whose metrics are unknown before its training."""
    if objective is None:
        return "val_loss", "minimize"
    return objective.metric, objective.direction or find_direction(objective.metric) or "minimize"


def find_user_model_problems(training: TrainingSpec, objective: ObjectiveSpec | None) -> list[Problem]:
    """Return the problems of a study file's training and objective with a user model."""
    problems = []
    for key in ("loss", "metrics", "weighted_metrics", "heads"):
        if getattr(training, key):
            message = f"a user model trains with the {key} of its compile() call; remove this key"
            problems.append(Problem(message, f"training.{key}"))
    if objective and objective.direction is None and find_direction(objective.metric) is None:
        message = f'the direction of "{objective.metric}" is unknown; add direction: minimize or maximize'
        problems.append(Problem(message, "objective.metric"))
    return problems


def calculate_class_weights(task: Task, training: TrainingSpec) -> dict[int, float] | None:
    """Return the weight of each class by its label, for `fit`; None if all rows have the same weight.

    `balanced` is rows / (classes x rows of the class), like scikit-learn's `compute_class_weight`. A class
    that is not named has weight 1.

    Raises:
        InputError: if the task has no classes, the loss cannot weigh rows, a name is no class, or a weight is not
            usable.
    """
    declared = training.class_weight
    if declared is None:
        return None
    if not task.classes:
        what = "a target of this form" if task.kind == "custom" else f"a {task.kind} task"
        raise InputError(Problem(f"{what} has no classes to weigh", "training.class_weight"))
    if training.loss in WHOLE_BATCH_LOSSES:
        message = f"{training.loss} is one number for a whole batch and cannot weigh classes; remove one of the two"
        raise InputError(Problem(message, "training.class_weight"))
    labels = _list_labels(task)
    if declared == "balanced":
        rows, classes = sum(task.class_counts), len(task.classes)
        # A class may have no training row in a fold of few rows.
        return {label: rows / (classes * max(count, 1)) for label, count in zip(labels, task.class_counts, strict=True)}
    problems = [
        Problem(f'"{name}" is no class of the target; {suggest_choice(name, task.classes)}', "training.class_weight")
        for name in declared
        if name not in task.classes
    ]
    weights = {label: declared.get(name, 1.0) for label, name in zip(labels, task.classes, strict=True)}
    # Weights of 0 alone would give a loss of 0 from the first step on.
    if not problems and not any(weights.values()):
        problems = [Problem("expected at least one class with a weight above 0", "training.class_weight")]
    if problems:
        raise InputError(problems)
    return weights


def _list_labels(task: Task) -> list[int]:
    """Return the label of each class: its index, or the value that a user model's targets were given with."""
    if task.kind != "custom":
        return list(range(len(task.classes)))
    try:
        return [int(name) for name in task.classes]
    except ValueError:
        message = "targets that are words go to a model of yours as they are; give numbers, or weigh rows"
        raise InputError(Problem(message, "training.class_weight")) from None


def _explain_mismatch(what: str, name: str, kind: TaskKind, by_task: Mapping[TaskKind, tuple[str, ...]]) -> str:
    everywhere = {known for names in by_task.values() for known in names}
    if name not in everywhere:
        return f'there is no {what} "{name}"; {suggest_choice(name, everywhere)}'
    return f'{what} "{name}" does not fit a {kind} task; {suggest_choice(name, by_task[kind])}'


def _check_metrics(kind: TaskKind, key: str, declared: Iterable[str]) -> None:
    problems = [
        Problem(_explain_mismatch("metric", name, kind, METRICS), f"training.{key}[{position}]")
        for position, name in enumerate(declared)
        if name not in METRICS[kind]
    ]
    if problems:
        raise InputError(problems)


def _resolve_direction(metric: str) -> Direction:
    return "maximize" if strip_prefixes(metric) in _HIGHER_IS_BETTER else "minimize"
