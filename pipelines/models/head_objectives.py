"""Losses, metrics and objectives of several targets that have a head of the model each, by names alone.

Each head has the loss and the metrics that its target would have alone, reported as `<output>_<metric>`, with `val_`
before both. What is trained on, and `loss` by name, is the sum of the heads' losses times their weights.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from pipelines.data.prepared import Task
from pipelines.models import objectives
from pipelines.spec.schema import HeadSpec, ObjectiveSpec, TrainingSpec
from search_spaces.errors import InputError, Problem, find_closest, suggest_choice
from search_spaces.values import Direction

DEFAULT_OBJECTIVE: tuple[str, Direction] = ("val_loss", "minimize")
"""The objective where none is declared: no head's metric stands for the others."""
_OF_ONE_TARGET = ("loss", "metrics", "weighted_metrics", "class_weight")


@dataclass(frozen=True)
class HeadMetric:
    """A metric of one head: the task of its target, and the metric's name there, such as `val_accuracy`."""

    head: Task
    metric: str


def get_weight(head: Task, training: TrainingSpec) -> float:
    """Return the weight of a head's loss in the sum that is trained on."""
    return training.heads.get(head.targets[0], HeadSpec()).weight


def make_training(head: Task, training: TrainingSpec) -> TrainingSpec:
    """Return the settings of one head, as those of a study whose only target it has."""
    own = training.heads.get(head.targets[0], HeadSpec())
    weighted = own.metrics if head.is_weighted else []
    return training.model_copy(
        update={
            **{"loss": own.loss, "metrics": own.metrics, "weighted_metrics": weighted},
            **{"class_weight": own.class_weight, "heads": {}},
        }
    )


def list_reported(task: Task, training: TrainingSpec) -> tuple[str, ...]:
    """Return every name that an epoch of training reports.

    Raises:
        InputError: if a declared metric does not fit its target's task.
    """
    names = ["loss"]
    for head in task.heads:
        own = make_training(head, training)
        found = objectives.list_reported_metrics(head.kind, own, is_weighted=head.is_weighted)
        names += [f"{head.output}_{name}" for name in found if not name.startswith("val_")]
    return (*names, *(f"val_{name}" for name in names))


def find_head_metric(task: Task, metric: str) -> HeadMetric | None:
    """Return the head that a metric belongs to; None for the loss of all heads, and for other names.

    >>> sold = Task("binary", ("sold",), ("no", "yes"), output="sold")
    >>> found = find_head_metric(Task("multi_task", ("sold",), heads=(sold,)), "val_sold_accuracy")
    >>> found.metric
    'val_accuracy'
    """
    bare = metric.removeprefix("val_")
    # The longest name: one may begin as another does.
    for head in sorted(task.heads, key=lambda head: -len(head.output)):
        if bare.startswith(f"{head.output}_"):
            return HeadMetric(head, metric[: len(metric) - len(bare)] + bare.removeprefix(f"{head.output}_"))
    return None


def find_direction(task: Task, metric: str) -> Direction | None:
    """Return the direction of a metric of the heads; None for an unknown name."""
    found = find_head_metric(task, metric)
    return objectives.find_direction(metric if found is None else found.metric)


def check_heads(task: Task, training: TrainingSpec) -> None:
    """Check that the settings of training fit the heads.

    Raises:
        InputError: with all problems at once.
    """
    problems = [*find_setting_problems(training, task.targets)]
    for head in task.heads:
        problems += _find_head_problems(head, training)
    if problems:
        raise InputError(problems)


def find_setting_problems(training: TrainingSpec, targets: Sequence[str]) -> Iterator[Problem]:
    """Yield the problems of settings that do not fit several targets with a head each, whatever their tasks."""
    for key in _OF_ONE_TARGET:
        if not getattr(training, key):
            continue
        advice = f"set training.heads: {{{targets[0]}: {{{key}: ...}}}}, and likewise for others, in place of this key"
        if key == "weighted_metrics":
            advice = "with data.weight each head's metrics are reported with weights too; remove this key"
        yield Problem(f"each target has a head of the model with a {key} of its own: {advice}", f"training.{key}")
    for name in training.heads:
        if name not in targets:
            yield Problem(f'"{name}" is no target; {suggest_choice(name, list(targets))}', f"training.heads.{name}")


def _find_head_problems(head: Task, training: TrainingSpec) -> Iterator[Problem]:
    own = make_training(head, training)
    checks = (
        lambda: objectives.resolve_loss(head.kind, own),
        lambda: objectives.resolve_metrics(head.kind, own),
        lambda: objectives.check_weights_act(own, is_weighted=head.is_weighted),
        lambda: objectives.calculate_class_weights(head, own),
    )
    for check in checks:
        try:
            check()
        except InputError as error:
            for each in error.problems:
                key = (each.path or "").removeprefix("training.")
                yield Problem(f'target "{head.targets[0]}": {each.message}', f"training.heads.{head.targets[0]}.{key}")


def calculate_head_weights(task: Task, training: TrainingSpec) -> dict[str, dict[int, float]] | None:
    """Return the weight of each class by its label, by the head's output; None if all rows have the same weight.

    Raises:
        InputError: as `calculate_class_weights` does for a head.
    """
    found = {
        head.output: objectives.calculate_class_weights(head, make_training(head, training)) for head in task.heads
    }
    return {output: weights for output, weights in found.items() if weights is not None} or None


def resolve_objective(task: Task, training: TrainingSpec, objective: ObjectiveSpec | None) -> tuple[str, Direction]:
    """Return the objective that trials are scored on: metric and direction.

    Raises:
        InputError: if training does not report the declared metric.
    """
    if objective is None:
        return DEFAULT_OBJECTIVE
    reported = list_reported(task, training)
    if objective.metric not in reported and _find_reportable(task, objective.metric) is None:
        message = f'training never reports "{objective.metric}", and each target has a head: '
        raise InputError(Problem(f"{message}{suggest_choice(objective.metric, reported)}", "objective.metric"))
    return objective.metric, objective.direction or find_direction(task, objective.metric) or "minimize"


def add_metrics(task: Task, training: TrainingSpec, metrics: Iterable[str]) -> TrainingSpec:
    """Return the settings of training with the metrics of heads that objectives need and `training` does not name."""
    heads = dict(training.heads)
    for metric in metrics:
        if (found := _find_reportable(task, metric)) is None or metric in list_reported(task, training):
            continue
        name, own = found.head.targets[0], heads.get(found.head.targets[0], HeadSpec())
        added = dict.fromkeys((*own.metrics, objectives.strip_prefixes(found.metric)))
        heads[name] = own.model_copy(update={"metrics": list(added)})
    return training.model_copy(update={"heads": heads})


def _find_reportable(task: Task, metric: str) -> HeadMetric | None:
    """Return the head that reports a metric once it is declared; None where no head does."""
    found = find_head_metric(task, metric)
    if found is None or found.metric not in objectives.list_reportable(
        found.head.kind, is_weighted=found.head.is_weighted
    ):
        return None
    return found


def explain_open_metric(metric: str, outputs: Sequence[str]) -> str:
    """Return why no task of the targets reports a metric; empty where one may.

    Args:
        metric: the declared metric.
        outputs: names of the model's outputs.
    """
    names = ("loss", *objectives.list_metrics())
    of_heads = [f"{output}_{name}" for output in outputs for name in names]
    weighted = [f"{output}_weighted_{name}" for output in outputs for name in names]
    if metric.removeprefix("val_") in {"loss", *of_heads, *weighted}:
        return ""
    close = find_closest(metric, ["val_loss", *(f"val_{name}" for name in of_heads)])
    examples = ", ".join(f"val_{output}_loss" for output in outputs)
    hint = (
        f'did you mean "{close}"?' if close else f"there are val_loss, {examples}, and a head's other metrics likewise"
    )
    return f'training never reports "{metric}": each target has a head, named before its metrics; {hint}'


def list_notes(task: Task, training: TrainingSpec, objective: ObjectiveSpec | None) -> Iterator[str]:
    """Yield what is decided about the heads, with the keys that change it."""
    weights = ", ".join(f"{head.targets[0]} {get_weight(head, training):g}" for head in task.list_heads())
    numbers = [head for head in task.list_heads() if not head.classes]
    scaled = [head.targets[0] for head in numbers if head.target_scale != (1.0,) or head.target_mean != (0.0,)]
    why = (
        f", numbers standardised so that none outweighs the others by its unit ({', '.join(scaled)})" if scaled else ""
    )
    yield f"the heads' losses are summed with the weights {weights} (training.heads.<target>.weight){why}"
    if unscaled := [head.targets[0] for head in numbers if head.targets[0] not in scaled]:
        yield (
            f"the loss of {', '.join(unscaled)} is in the unit of the target (data.scale_target: false), and may "
            f"outweigh the other heads; weigh it by training.heads: {{{unscaled[0]}: {{weight: ...}}}}"
        )
    if objective is None:
        one = next((head for head in task.list_heads() if head.classes), task.list_heads()[0])
        metric, _ = objectives.find_default_objective(
            one.kind, is_weighted=one.is_weighted, default_metric=one.default_metric
        )
        example = f"val_{one.output}_{metric.removeprefix('val_')}"
        yield f"the objective is val_loss, that weighted sum; objective.metric: {example} scores by one head"
        return
    found = find_head_metric(task, objective.metric)
    if found is None or not task.is_weighted:
        return
    written, output = ObjectiveSpec(metric=found.metric), f"{found.head.output}_"
    settings = make_training(found.head, training)
    yield from objectives.note_unweighted_objective(found.head.kind, settings, written, output)
