"""From a study file to a checked `Study`: everything that can be known without reading data or building a model.

All problems of a file are found in one go and told in the order of the file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import ValidationError

from pipelines.data.prepared import InputKind, TaskKind
from pipelines.models import catalogue, objectives
from pipelines.spec.code_references import is_reference, split_reference
from pipelines.spec.error_messages import Keys, keys_of, spec_problems
from pipelines.spec.schema import MEASURED_OF_FILES, MEASURES, GoalSpec, ObjectiveSpec, StudySpec, TrainingSpec
from pipelines.spec.section import Section
from search_spaces.errors import InputError, Problem, nearest
from search_spaces.parse import RESERVED, parse_space
from search_spaces.schema import space_schema
from search_spaces.space import Space
from search_spaces.values import Direction
from search_spaces.yaml_document import Document
from search_spaces.yaml_reader import parse_document, read_document

_Section = TypeVar("_Section", bound=Section)
_OBJECTIVE = "objective.metric"
_MOST_HINTS = 20  # a file with more unknown names than this is another kind of file


@dataclass(frozen=True)
class Goal:
    """One of several objectives, in full.

    Attributes:
        format: the file that it is measured of; empty for what is not measured of a file.
    """

    metric: str
    direction: Direction
    format: str = ""
    at_most: float | None = None
    at_least: float | None = None

    @property
    def name(self) -> str:
        """Return what it is called beside others: `latency_ms_litert`, or the metric."""
        return f"{self.metric}_{self.format}" if self.format else self.metric

    @property
    def is_bounded(self) -> bool:
        """Say whether a value can break its bounds."""
        return self.at_most is not None or self.at_least is not None

    def excess(self, value: float) -> float:
        """Return by how much a value breaks the bounds; at most 0 where it keeps them."""
        over = [] if self.at_most is None else [value - self.at_most]
        under = [] if self.at_least is None else [self.at_least - value]
        return max(over + under, default=0.0)


@dataclass(frozen=True)
class Objective:
    """What trials are scored on, in full.

    Attributes:
        goals: where there are several objectives, all of them; the first is the metric and direction.
    """

    metric: str
    direction: Direction
    goals: tuple[Goal, ...] = ()

    def is_better(self, one: float, other: float) -> bool:
        """Say whether the first score is better than the second."""
        return one < other if self.direction == "minimize" else one > other

    @property
    def directions(self) -> list[Direction]:
        """Return the direction of each objective."""
        return [goal.direction for goal in self.goals] or [self.direction]

    def excesses(self, values: Sequence[float]) -> dict[str, float]:
        """Return by the name of each bounded objective by how much its value breaks the bounds; at most 0 where not."""
        if not self.goals:
            return {}
        return {
            goal.name: goal.excess(value) for goal, value in zip(self.goals, values, strict=True) if goal.is_bounded
        }

    def keeps_bounds(self, values: Sequence[float]) -> bool:
        """Say whether a trial of these values may win."""
        return all(excess <= 0 for excess in self.excesses(values).values())

    def rank(self, values: Sequence[float]) -> tuple[float, ...]:
        """Return a key that sorts the values of trials from best to worst, the first objective before the others."""
        return tuple(
            value if direction == "minimize" else -value
            for value, direction in zip(values, self.directions, strict=True)
        )


@dataclass(frozen=True)
class Study:
    """A checked study file.

    Attributes:
        base: folder that relative paths in the file start from.
        document: the file as read, to find places for problems that only the data or the model show.
    """

    spec: StudySpec
    space: Space
    base: Path
    document: Document

    @property
    def name(self) -> str:
        """Return the study's name."""
        return self.spec.study

    @property
    def registered_name(self) -> str:
        """Return the name under which MLflow registers the winner."""
        return self.spec.export.register_as or self.name

    @property
    def has_user_model(self) -> bool:
        """Say whether the model is the study's own code, and not a shipped family."""
        return is_reference(self.spec.model)

    @property
    def prefers(self) -> InputKind:
        """Return the form of features that the model is meant for."""
        return "any" if self.has_user_model else catalogue.family(self.spec.model).prefers

    @property
    def user_objective(self) -> Objective | None:
        """Return the objective of a model of the study's own, which no task decides; None for a shipped family."""
        if not self.has_user_model:
            return None
        metric, direction = objectives.resolve_user_objective(self.spec.score_objective)
        return Objective(metric, direction, _goals(self.spec, direction))

    @property
    def searches_undeclared(self) -> bool:
        """Say whether hyperparameters that only the model's code declares are searched."""
        return self.has_user_model and self.spec.search.undeclared == "search"

    @property
    def per_layer(self) -> frozenset[str]:
        """Return the concepts that the space declares layer by layer."""
        if self.has_user_model:
            return frozenset()
        return catalogue.family(self.spec.model).per_layer(self.space.parameters)

    def objective(self, task: TaskKind) -> Objective:
        """Return the objective, filling in what the file leaves to the task.

        Raises:
            InputError: if training on this task cannot use the loss, or never reports a metric.
        """
        if (own := self.user_objective) is not None:
            return own
        try:
            objectives.loss_name(task, self.spec.training)
            metric, direction = objectives.resolve_objective(task, self.spec.training, self.spec.score_objective)
            for place, goal in enumerate(self.spec.objectives or ()):
                _check_goal(task, self.spec.training, goal, place)
        except InputError as error:
            raise self.placed(error) from None
        return Objective(metric, direction, _goals(self.spec, direction))

    def notes(self) -> tuple[Problem, ...]:
        """Return what is allowed, yet seldom meant, with its place in the file."""
        return (*self._training_objective(), *self._kept_by_no_point())

    def _kept_by_no_point(self) -> Iterator[Problem]:
        """Yield a note on constraints that none of the points keeps that are tried for the smallest model."""
        if not self.space.constraints:
            return
        from search_spaces.suggest import smallest  # loads Optuna, which workers do not need

        if broken := self.space.violated(smallest(self.space)):
            message = (
                f"no point was found that keeps them all, such as {broken[0]}; the study fails where there is none"
            )
            yield self.document.problem(("space", "constraints"), message)

    def _training_objective(self) -> tuple[Problem, ...]:
        objective = self.spec.score_objective
        known = objective is not None and objectives.direction_of(objective.metric) is not None
        if objective is None or not known or objective.metric.startswith("val_"):
            return ()
        message = (
            f'"{objective.metric}" is what Keras reports for the training rows, which a model can learn by heart; '
            f'"val_{objective.metric}" is the same for the validation rows'
        )
        return (_placed(self.document, Problem(message, _place_of_objective(self.document))),)

    def identity(self) -> str:
        """Return a digest of all that must stay the same when a study is resumed, a dash, and one of its space.

        The budget, limits, resources and what happens after the search may change from one run to the next; the
        space may evolve.
        """
        kept = self.spec.model_dump(mode="json", include={"study", "data", "model", "objective", "training"})
        if self.spec.objectives is not None:
            kept["objectives"] = [goal.model_dump(mode="json") for goal in self.spec.objectives]
        code = split_reference(self.spec.model, self.base, "model")[0].read_bytes() if self.has_user_model else b""
        return f"{_digest([kept, code.hex()])}-{_digest(self.space.to_dict())}"

    def placed(self, error: InputError) -> InputError:
        """Return the error with each problem's place in this file, where its key can be found."""
        placed = [problem if problem.place else _placed(self.document, problem) for problem in error.problems]
        return InputError(_in_file_order(self.document, placed))


def load_study(file: Path, overrides: Sequence[str] = ()) -> Study:
    """Read and check a study file.

    Args:
        file: a YAML or JSON file.
        overrides: `KEY=VALUE` pairs with dotted keys, such as `space.l2.high=1e-3`; values are YAML.

    Raises:
        InputError: with every problem of the file.
    """
    return check_document(_overridden(read_document(file), overrides), file.parent.resolve(), with_code=True)


def check_document(document: Document, base: Path, *, with_code: bool = False) -> Study:
    """Check a study that has been read already; see `load_study`.

    `with_code` says whether the file that holds the study's own model must be there.
    """
    problems: list[Problem] = []
    spec = _spec(document, problems)
    family = _family(document, base, problems, with_code=with_code)
    space = _space(document, base, family, problems)
    if family:
        problems += _unfit(document, family, space)
    problems += _training_problems(document)
    if problems or spec is None or space is None:
        raise InputError(_in_file_order(document, problems))
    return Study(spec, space, base, document)


def _spec(document: Document, problems: list[Problem]) -> StudySpec | None:
    try:
        return StudySpec.model_validate(document.data)
    except ValidationError as error:
        problems += spec_problems(document, error)
        return None


def _family(document: Document, base: Path, problems: list[Problem], *, with_code: bool) -> catalogue.Family | None:
    """Return the shipped family that is named, None for a model of the study's own."""
    name = document.data.get("model")
    if not isinstance(name, str) or not name:
        return None  # the spec's own check has said so
    if is_reference(name):
        try:
            split_reference(name, base if with_code else None, "model")
        except InputError as error:
            problems += [_placed(document, problem) for problem in error.problems]
    elif name not in catalogue.FAMILIES:
        message = f'no model family is called "{name}"; {nearest(name, catalogue.FAMILIES)}, or "file.py:function"'
        problems.append(document.problem(("model",), message))
    return catalogue.FAMILIES.get(name)


def _space(document: Document, base: Path, family: catalogue.Family | None, problems: list[Problem]) -> Space | None:
    if not isinstance(document.data.get("space", {}), dict):
        return None  # the spec's own check has said so
    try:
        family_space = family.default_space if family else None
        return parse_space(document, family_space=family_space, folder=base)
    except InputError as error:
        problems += error.problems
        return None


def _unfit(document: Document, family: catalogue.Family, space: Space | None) -> list[Problem]:
    """Check that the model asks for each parameter, and can take every value that the space may give it.

    Of a space that could not be read the names alone are checked.
    """
    written = document.data.get("space")
    names = list(space.parameters if space else written if isinstance(written, dict) else ())
    problems: list[Problem] = []
    for name in names:
        asked = family.find(name)
        if asked is None and name not in RESERVED:
            message = f'the model "{family.name}" never asks for "{name}"'
            if len(problems) < _MOST_HINTS:
                message += f"; {nearest(name, [each.name for each in family.parameters])}"
            problems.append(document.key_problem(("space", name), message))
        elif asked is not None and space is not None:
            refused = ((value, asked.refusal(value)) for value in space.parameters[name].bounds)
            if found := next(((value, refusal) for value, refusal in refused if refusal), None):
                problems.append(document.problem(_keys_to(document, name, found[0]), found[1]))
    return problems


def _keys_to(document: Document, name: str, value: object) -> Keys:
    """Return the keys to a value that a space gives a parameter: to the very choice or bound, if it is written out."""
    keys: Keys = ("space", name)
    written = document.get(keys)
    if isinstance(written, dict) and isinstance(written.get("choices"), list):
        keys, written = (*keys, "choices"), written["choices"]
    items = written.items() if isinstance(written, dict) else enumerate(written) if isinstance(written, list) else ()
    return next(((*keys, key) for key, item in items if item is value or item == value), keys)


def _training_problems(document: Document) -> list[Problem]:
    """Check loss, metrics and objective; where the task is still open, against the one that takes the most.

    They are checked even where other parts of the file are at fault.
    """
    try:
        training = TrainingSpec.model_validate(document.data.get("training", {}))
        objective, goals = _written_objectives(document)
    except ValidationError:
        return []
    at = _place_of_objective(document)
    if is_reference(document.data.get("model")):
        own = objectives.find_user_model_problems(training, objective)
        return [_placed(document, replace(each, path=_moved(each.path, at))) for each in own]
    task = document.get(("data", "task"), "auto")
    kinds: tuple[TaskKind, ...] = (task,) if task in get_args(TaskKind) else get_args(TaskKind)
    fewest = min((_training_errors(kind, training, objective, goals) for kind in kinds), key=len)
    if objective and len(kinds) > 1:
        fewest = [each if each.path != _OBJECTIVE else _unreported(training, objective) for each in fewest]
    return [_placed(document, replace(each, path=_moved(each.path, at))) for each in fewest]


def _written_objectives(document: Document) -> tuple[ObjectiveSpec | None, Sequence[GoalSpec]]:
    """Return what a file says trials are scored on, and all of several objectives.

    Raises:
        ValidationError: if that is not well written.
    """
    several = document.data.get("objectives")
    if not isinstance(several, list) or not several:
        return _optional(ObjectiveSpec, document.data.get("objective")), ()
    goals = [GoalSpec.model_validate(each) for each in several]
    if goals[0].metric in MEASURES:  # which is told where the file's model is checked
        return None, ()
    return ObjectiveSpec(metric=goals[0].metric, direction=goals[0].direction), goals


def _place_of_objective(document: Document) -> str:
    """Return the key of the metric that trials are scored on."""
    return "objectives[0].metric" if document.data.get("objectives") else _OBJECTIVE


def _moved(path: str, objective: str) -> str:
    return objective if path == _OBJECTIVE else path


def _goals(spec: StudySpec, first: Direction) -> tuple[Goal, ...]:
    return tuple(
        Goal(
            goal.metric,
            first if place == 0 else goal.direction or objectives.direction_of(goal.metric) or "minimize",
            (goal.format or "keras") if goal.metric in MEASURED_OF_FILES else "",
            goal.at_most,
            goal.at_least,
        )
        for place, goal in enumerate(spec.objectives or ())
    )


def _check_goal(task: TaskKind, training: TrainingSpec, goal: GoalSpec, place: int) -> None:
    """Make sure that training reports a further objective which is no measure of the model.

    Raises:
        InputError: if it does not.
    """
    if place == 0 or goal.metric in MEASURES:
        return
    try:
        objectives.resolve_objective(task, training, ObjectiveSpec(metric=goal.metric))
    except InputError as error:
        message = f"{error.problems[0].message}; of the trained model there are {', '.join(MEASURES)}"
        raise InputError(Problem(message, f"objectives[{place}].metric")) from None


def _unreported(training: TrainingSpec, objective: ObjectiveSpec) -> Problem:
    """Return the problem with an objective that no task's training reports."""
    bare = TrainingSpec(metrics=[])
    reported = {name for kind in get_args(TaskKind) for name in objectives.reported_metrics(kind, bare)}
    declared = {name for metric in training.metrics for name in (metric, f"val_{metric}")}
    known = {name for names in objectives.METRICS.values() for name in names}
    return objectives.unreported(objective.metric, reported | declared, known)


def _optional(section: type[_Section], written: object) -> _Section | None:
    return None if written is None else section.model_validate(written)


def _training_errors(
    kind: TaskKind, training: TrainingSpec, objective: ObjectiveSpec | None, goals: Sequence[GoalSpec]
) -> list[Problem]:
    problems: list[Problem] = []
    checks: list[Callable[[], object]] = [
        lambda: objectives.loss_name(kind, training),
        lambda: objectives.metric_names(kind, training),
        lambda: objectives.resolve_objective(kind, training, objective),
    ]
    checks += [partial(_check_goal, kind, training, goal, place) for place, goal in enumerate(goals)]
    for check in checks:
        try:
            check()
        except InputError as error:
            problems += [problem for problem in error.problems if problem not in problems]
    return problems


def _placed(document: Document, problem: Problem) -> Problem:
    """Return a problem that names its key alone with the place of that key."""
    return document.problem(keys_of(document.data, problem.path), problem.message)


def _in_file_order(document: Document, problems: Sequence[Problem]) -> list[Problem]:
    """Return problems from top to bottom: of the file first, then of other files and of the command line."""

    def order(problem: Problem) -> tuple[bool, int, int]:
        place = problem.place
        return (place is None or place.file != document.file, *((place.line, place.column) if place else (0, 0)))

    return sorted(dict.fromkeys(problems), key=order)


def _overridden(document: Document, overrides: Sequence[str]) -> Document:
    """Return the document with `KEY=VALUE` pairs set; their place is the command line."""
    for written in overrides:
        where = f"--set {' '.join(written.split())}"
        key, equals, value = (part.strip() for part in written.partition("="))
        keys = keys_of(document.data, key)
        if not equals or not keys or "" in keys:
            raise InputError(f"{where}: expected KEY=VALUE with a dotted key, such as budget.trials=5")
        document = document.with_value(keys, _value(value, where), where)
    return document


def _value(written: str, where: str) -> object:
    try:
        data = parse_document(f"value: {written}", where).data
    except InputError as error:
        raise InputError(f"{where}: {error.problems[0].message}") from None
    if len(data) > 1:
        raise InputError(f"{where}: expected one value, got several lines; write --set once for each key")
    return data["value"]


def schema() -> Mapping[str, Any]:
    """Return the JSON Schema of study files."""
    whole = StudySpec.model_json_schema(by_alias=True)
    properties = {**whole["properties"], "space": space_schema()}
    properties["model"] = {**properties["model"], "anyOf": [{"enum": list(catalogue.FAMILIES)}, {"pattern": ":"}]}
    trains = whole["$defs"]["TrainingSpec"]["properties"]
    trains["loss"]["anyOf"][0]["enum"] = objectives.all_losses()
    trains["metrics"]["items"]["enum"] = objectives.all_metrics()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **whole, "properties": properties}


def _digest(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:32]
