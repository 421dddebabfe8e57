"""Objective of a study: the metric that scores its trials, further objectives, and their bounds.

What a file leaves open is filled in here: by the task for a shipped family, by the metric's name for a user model.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from pydantic import ValidationError

from pipelines.data.prepared import Task, TaskKind
from pipelines.data.reading.source_paths import is_loader
from pipelines.data.targets.output_names import name_outputs
from pipelines.models import head_objectives, objectives
from pipelines.spec.code_references import is_reference
from pipelines.spec.schema import MEASURED_OF_FILES, MEASURES, GoalSpec, ObjectiveSpec, StudySpec, TrainingSpec
from pipelines.spec.section import Section
from search_spaces.errors import InputError, Problem
from search_spaces.values import Direction
from search_spaces.yaml_document import Document

_Section = TypeVar("_Section", bound=Section)
_OBJECTIVE = "objective.metric"
_KINDS = tuple(objectives.LOSSES)
"""The tasks of shipped families."""


@dataclass(frozen=True)
class Goal:
    """One of several objectives, with all that the file leaves to the task filled in.

    Attributes:
        format: format of the model file that it is measured of; empty for other metrics.
    """

    metric: str
    direction: Direction
    format: str = ""
    at_most: float | None = None
    at_least: float | None = None

    @property
    def name(self) -> str:
        """Return its name beside other objectives: `latency_ms_litert`, or the metric."""
        return f"{self.metric}_{self.format}" if self.format else self.metric

    @property
    def is_bounded(self) -> bool:
        """Return whether it has a bound."""
        return self.at_most is not None or self.at_least is not None

    def compute_excess(self, value: float) -> float:
        """Return the amount by which a value breaks the bounds; at most 0 where it keeps them."""
        over = [] if self.at_most is None else [value - self.at_most]
        under = [] if self.at_least is None else [self.at_least - value]
        return max(over + under, default=0.0)


@dataclass(frozen=True)
class Objective:
    """Score of a study's trials: a metric and its direction, and further objectives.

    Attributes:
        goals: all of several objectives, the first of them the metric above; empty for a single objective.
    """

    metric: str
    direction: Direction
    goals: tuple[Goal, ...] = ()

    def is_better(self, one: float, other: float) -> bool:
        """Return whether the first score is better than the second."""
        return one < other if self.direction == "minimize" else one > other

    @property
    def directions(self) -> list[Direction]:
        """Return the direction of each objective."""
        return [goal.direction for goal in self.goals] or [self.direction]

    def compute_excesses(self, values: Sequence[float]) -> dict[str, float]:
        """Return the excess over its bounds of each bounded objective, by name; at most 0 where they are kept."""
        if not self.goals:
            return {}
        return {
            goal.name: goal.compute_excess(value)
            for goal, value in zip(self.goals, values, strict=True)
            if goal.is_bounded
        }

    def keeps_bounds(self, values: Sequence[float]) -> bool:
        """Return whether a trial with these values may win."""
        return all(excess <= 0 for excess in self.compute_excesses(values).values())

    def rank(self, values: Sequence[float]) -> tuple[float, ...]:
        """Return a sort key: the best trial comes first, the first objective counts before the others."""
        return tuple(
            value if direction == "minimize" else -value
            for value, direction in zip(values, self.directions, strict=True)
        )


def resolve_objective(spec: StudySpec, task: TaskKind, *, is_weighted: bool, default_metric: str = "") -> Objective:
    """Return the objective of a shipped family's study, filling in what the file leaves to the data.

    Raises:
        InputError: if training on this data cannot use the loss, or never reports a metric.
    """
    objectives.resolve_loss(task, spec.training)
    objectives.check_weights_act(spec.training, is_weighted=is_weighted)
    metric, direction = objectives.resolve_objective(
        task, spec.training, spec.score_objective, is_weighted=is_weighted, default_metric=default_metric
    )
    for place, goal in enumerate(spec.objectives or ()):
        _check_goal(task, spec.training, goal, place, is_weighted=is_weighted)
    return Objective(metric, direction, _resolve_goals(spec, direction))


def resolve_heads_objective(spec: StudySpec, task: Task) -> Objective:
    """Return the objective of a shipped family's study of several targets with a head each.

    Raises:
        InputError: if training on this data cannot use the settings of a head, or never reports a metric.
    """
    head_objectives.check_heads(task, spec.training)
    metric, direction = head_objectives.resolve_objective(task, spec.training, spec.score_objective)
    for place, goal in enumerate(spec.objectives or ()):
        if place and goal.metric not in MEASURES:
            try:
                head_objectives.resolve_objective(task, spec.training, ObjectiveSpec(metric=goal.metric))
            except InputError as error:
                raise InputError(_explain_goal(error, place)) from None
    return Objective(
        metric, direction, _resolve_goals(spec, direction, lambda name: head_objectives.find_direction(task, name))
    )


def resolve_user_objective(spec: StudySpec) -> Objective:
    """Return the objective of a user model's study, which no task decides."""
    metric, direction = objectives.resolve_user_objective(spec.score_objective)
    return Objective(metric, direction, _resolve_goals(spec, direction))


def find_objective_problems(document: Document) -> list[Problem]:
    """Return the problems of loss, metrics and objective; where the task is open, those of the task with the fewest.

    They are checked even where other parts of the file have problems. Their places in the file are left open.
    """
    try:
        training = TrainingSpec.model_validate(document.data.get("training", {}))
        objective, goals = _read_objectives(document)
    except ValidationError:
        return []
    at = find_objective_path(document)
    if is_reference(document.data.get("model")):
        own = objectives.find_user_model_problems(training, objective)
        return [_move_problem(each, at) for each in own]
    task, targets = document.get(("data", "task"), "auto"), _list_targets(document)
    if targets and (training.heads or document.get(("data", "tasks"))):
        return _find_heads_problems(training, objective, goals, targets, at)
    kinds: tuple[TaskKind, ...] = (task,) if task in _KINDS else _KINDS
    has_weights = _read_has_weights(document)
    fewest = min((_find_training_problems(kind, training, objective, goals, has_weights) for kind in kinds), key=len)
    # Several targets may turn out to have a head each.
    if targets and task == "auto" and fewest:
        of_heads = _find_heads_problems(training, objective, goals, targets, at)
        if len(of_heads) < len(fewest):
            return of_heads
    if objective and len(kinds) > 1:
        unreported = _make_unreported_problem(training, objective, has_weights)
        fewest = [each if each.path != _OBJECTIVE else unreported for each in fewest]
    return [_move_problem(each, at) for each in fewest]


def _list_targets(document: Document) -> list[str]:
    """Return the names of several targets; nothing where there is one, or the file names them wrongly."""
    found = document.get(("data", "target"))
    is_several = isinstance(found, list) and len(found) > 1 and all(isinstance(name, str) for name in found)
    return list(found) if is_several else []


def _find_heads_problems(
    training: TrainingSpec, objective: ObjectiveSpec | None, goals: Sequence[GoalSpec], targets: Sequence[str], at: str
) -> list[Problem]:
    """Return the problems of training and objective with a head for each target, whose tasks are open."""
    problems = list(head_objectives.find_setting_problems(training, targets))
    outputs = list(name_outputs(targets).values())
    named = [(objective.metric, at)] if objective and not goals else []
    named += [(goal.metric, f"objectives[{place}].metric") for place, goal in enumerate(goals)]
    for metric, path in named:
        if metric not in MEASURES and (problem := head_objectives.explain_open_metric(metric, outputs)):
            problems.append(Problem(problem, path))
    return problems


def _read_has_weights(document: Document) -> bool | None:
    """Return whether rows have weights; None where the source decides."""
    source = document.get(("data", "source"))
    if document.get(("data", "weight")) is not None:
        return True
    named = [each for each in (source if isinstance(source, list) else [source]) if isinstance(each, str)]
    return None if any(is_loader(each) or each.lower().endswith(".npz") for each in named) else False


def _read_objectives(document: Document) -> tuple[ObjectiveSpec | None, Sequence[GoalSpec]]:
    """Return the objective that scores trials, and all of several objectives.

    Raises:
        ValidationError: if their form is wrong.
    """
    several = document.data.get("objectives")
    if not isinstance(several, list) or not several:
        return _read_optional(ObjectiveSpec, document.data.get("objective")), ()
    goals = [GoalSpec.model_validate(each) for each in several]
    if goals[0].metric in MEASURES:  # the check of the spec reports that
        return None, ()
    return ObjectiveSpec(metric=goals[0].metric, direction=goals[0].direction), goals


def find_objective_path(document: Document) -> str:
    """Return the key of the metric that scores trials."""
    return "objectives[0].metric" if document.data.get("objectives") else _OBJECTIVE


def _move_problem(problem: Problem, path: str) -> Problem:
    """Return a problem of the objective at the key where this file has the objective; any other problem as it is."""
    return replace(problem, path=path) if problem.path == _OBJECTIVE else problem


def _resolve_goals(
    spec: StudySpec,
    first: Direction,
    find_direction: Callable[[str], Direction | None] = objectives.find_direction,
) -> tuple[Goal, ...]:
    return tuple(
        Goal(
            goal.metric,
            # The first is the score, whose direction is resolved with the task.
            first if place == 0 else goal.direction or find_direction(goal.metric) or "minimize",
            (goal.format or "keras") if goal.metric in MEASURED_OF_FILES else "",
            goal.at_most,
            goal.at_least,
        )
        for place, goal in enumerate(spec.objectives or ())
    )


def _check_goal(task: TaskKind, training: TrainingSpec, goal: GoalSpec, place: int, *, is_weighted: bool) -> None:
    """Check that training reports a further objective, unless it is a measure of the model.

    Raises:
        InputError: if it does not.
    """
    if place == 0 or goal.metric in MEASURES:
        return
    try:
        objectives.resolve_objective(task, training, ObjectiveSpec(metric=goal.metric), is_weighted=is_weighted)
    except InputError as error:
        raise InputError(_explain_goal(error, place)) from None


def _explain_goal(error: InputError, place: int) -> Problem:
    message = f"{error.problems[0].message}; of the trained model there are {', '.join(MEASURES)}"
    return Problem(message, f"objectives[{place}].metric")


def _make_unreported_problem(training: TrainingSpec, objective: ObjectiveSpec, has_weights: bool | None) -> Problem:
    """Return the problem with an objective that no task's training reports."""
    # The declared metrics may not fit every task, and are added below.
    bare = TrainingSpec(metrics=[])
    is_weighted = has_weights is not False
    reported = {
        name for kind in _KINDS for name in objectives.list_reported_metrics(kind, bare, is_weighted=is_weighted)
    }
    named = (*training.metrics, *training.weighted_metrics)
    declared = {name for metric in named for name in (metric, f"val_{metric}")}
    known = {name for names in objectives.METRICS.values() for name in names}
    return objectives.explain_unreported_metric(objective.metric, reported | declared, known)


def _read_optional(section: type[_Section], value: object) -> _Section | None:
    return None if value is None else section.model_validate(value)


def _find_training_problems(
    kind: TaskKind,
    training: TrainingSpec,
    objective: ObjectiveSpec | None,
    goals: Sequence[GoalSpec],
    has_weights: bool | None,
) -> list[Problem]:
    problems: list[Problem] = []
    is_weighted = has_weights is not False
    checks: list[Callable[[], object]] = [
        lambda: objectives.resolve_loss(kind, training),
        lambda: objectives.resolve_metrics(kind, training),
        lambda: objectives.resolve_weighted_metrics(kind, training, is_weighted=is_weighted),
        lambda: objectives.resolve_objective(kind, training, objective, is_weighted=is_weighted),
    ]
    checks += [
        partial(_check_goal, kind, training, goal, place, is_weighted=is_weighted) for place, goal in enumerate(goals)
    ]
    if has_weights is not None:
        checks.append(lambda: objectives.check_weights_act(training, is_weighted=is_weighted))
    for check in checks:
        try:
            check()
        except InputError as error:
            problems += [problem for problem in error.problems if problem not in problems]
    return problems
