"""From a study file to a checked `Study`: everything that can be known without reading data or building a model.

All problems of a file are found in one go. `StudySpec` says what is wrong with a key; this module finds the place
of the key in the file and puts the message into words.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from search_spaces.document import Document, parse_document, read_document
from search_spaces.parse import parse_space
from search_spaces.space import Space

from pipelines.data.prepared import TaskKind
from pipelines.models import catalogue, objectives
from pipelines.study_spec import StudySpec
from search_spaces.errors import InputError, Problem, nearest

Path_ = tuple[str | int, ...]


@dataclass(frozen=True)
class Objective:
    """What trials are scored on, in full."""

    metric: str
    direction: Literal["minimize", "maximize"]

    def is_better(self, one: float, other: float) -> bool:
        """Say whether the first score is better than the second."""
        return one < other if self.direction == "minimize" else one > other


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
    def per_layer(self) -> frozenset[str]:
        """Return the concepts that the space declares layer by layer."""
        return catalogue.family(self.spec.model).per_layer(self.space.parameters)

    def objective(self, task: TaskKind) -> Objective:
        """Return the objective, filling in what the file leaves to the task.

        Raises:
            InputError: if training on this task cannot use the loss, or never reports a metric.
        """
        try:
            objectives.loss_name(task, self.spec.training)
            return Objective(*objectives.resolve_objective(task, self.spec.training, self.spec.objective))
        except InputError as error:
            raise self.placed(error) from None

    def identity(self) -> str:
        """Return a digest of all that must stay the same when a study is resumed.

        The budget, limits, resources and what happens after the search may change from one run to the next.
        """
        kept = self.spec.model_dump(mode="json", include={"study", "data", "model", "objective", "training"})
        text = json.dumps([kept, self.space.to_dict()], sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()

    def placed(self, error: InputError) -> InputError:
        """Return the error with each problem's place in this file, where its key can be found."""
        return InputError(
            problem if problem.place else self.document.problem(tuple(problem.path.split(".")), problem.message)
            for problem in error.problems
        )


def load_study(file: Path, overrides: Sequence[str] = ()) -> Study:
    """Read and check a study file.

    Args:
        file: a YAML or JSON file.
        overrides: `KEY=VALUE` pairs with dotted keys, such as `space.l2.high=1e-3`; values are YAML.

    Raises:
        InputError: with every problem of the file.
    """
    return check_document(_overridden(read_document(file), overrides), file.parent.resolve())


def check_document(document: Document, base: Path) -> Study:
    """Check a study that has been read already; see `load_study`."""
    problems: list[Problem] = []
    spec = _spec(document, problems)
    name = document.data.get("model")
    family = catalogue.FAMILIES.get(name) if isinstance(name, str) else None
    if spec and family is None:
        message = f'no model family is called "{spec.model}"; {nearest(spec.model, catalogue.FAMILIES)}'
        problems.append(document.problem(("model",), message))
    space = _space(document, family, problems)
    if space and family:
        problems += _unfit(document, family, space)
    if spec:
        problems += _training_problems(document, spec)
    if problems or spec is None or space is None:
        raise InputError(problems)
    return Study(spec, space, base, document)


def _spec(document: Document, problems: list[Problem]) -> StudySpec | None:
    try:
        return StudySpec.model_validate(document.data)
    except ValidationError as error:
        details = error.errors(include_url=False)
        problems += [document.problem(*_explained(document, detail)) for detail in _one_per_place(details)]
        return None


def _space(document: Document, family: catalogue.Family | None, problems: list[Problem]) -> Space | None:
    if not isinstance(document.data.get("space", {}), dict):
        return None  # the spec's own check has said so
    try:
        return parse_space(document, ("space",), family_space=family.default_space if family else None)
    except InputError as error:
        problems += error.problems
        return None


def _unfit(document: Document, family: catalogue.Family, space: Space) -> list[Problem]:
    """Check that the model asks for each parameter, and can take every value that the space may give it."""
    problems = []
    for name, parameter in space.parameters.items():
        asked = family.find(name)
        path = ("space", name)
        if asked is None:
            choices = [each.name for each in family.parameters]
            message = f'the model "{family.name}" never asks for "{name}"; {nearest(name, choices)}'
            problems.append(document.problem(path, message))
            continue
        refusals = (asked.refusal(value) for value in parameter.bounds)
        if refusal := next((refusal for refusal in refusals if refusal), None):
            problems.append(document.problem(path, refusal))
    return problems


def _training_problems(document: Document, spec: StudySpec) -> list[Problem]:
    """Check loss, metrics and objective; where the task is still open, against the one that takes the most."""
    if spec.data.task != "auto":
        kinds: tuple[TaskKind, ...] = (spec.data.task,)
    else:
        kinds = get_args(TaskKind)
    tried = [_training_errors(kind, spec) for kind in kinds]
    fewest = min(tried, key=len)
    return [document.problem(tuple(problem.path.split(".")), problem.message) for problem in fewest]


def _training_errors(kind: TaskKind, spec: StudySpec) -> list[Problem]:
    problems: list[Problem] = []
    for check in (
        lambda: objectives.loss_name(kind, spec.training),
        lambda: objectives.metric_names(kind, spec.training),
        lambda: objectives.resolve_objective(kind, spec.training, spec.objective),
    ):
        try:
            check()
        except InputError as error:
            problems += [problem for problem in error.problems if problem not in problems]
    return problems


def _one_per_place(details: Sequence[ErrorDetails]) -> list[ErrorDetails]:
    """Keep one message for each key: a union reports every member that did not fit."""
    first: dict[Path_, ErrorDetails] = {}
    for detail in details:
        first.setdefault(_key_path(detail["loc"]), detail)
    return list(first.values())


def _explained(document: Document, detail: ErrorDetails) -> tuple[Path_, str]:
    """Return the path of the key and what is wrong with it in our words."""
    path = _key_path(detail["loc"])
    got = _shown(detail["input"])
    kind = detail["type"]
    if kind == "extra_forbidden":
        return path, f'unknown key "{path[-1]}"; {nearest(str(path[-1]), _keys_at(path[:-1]))}'
    if kind == "missing":
        return path, f'the key "{path[-1]}" is missing; add it'
    if kind == "value_error":
        return path, detail["msg"].removeprefix("Value error, ")
    expected = detail["msg"].removeprefix("Input should be ")
    return path, f"expected {expected}, got {got}{_yaml_hint(detail)}"


def _key_path(location: Sequence[str | int]) -> Path_:
    """Return a pydantic location without the parts that name union members instead of keys."""
    path: list[str | int] = []
    here: Any = StudySpec
    for part in location:
        if isinstance(here, type) and issubclass(here, BaseModel):
            path.append(part)
            here = _type_of(here, str(part))
        elif isinstance(part, int) or here is dict:
            path.append(part)
            here = None
    return tuple(path)


def _keys_at(path: Path_) -> list[str]:
    here: Any = StudySpec
    for part in path:
        here = _type_of(here, str(part)) if isinstance(here, type) and issubclass(here, BaseModel) else here
    if isinstance(here, type) and issubclass(here, BaseModel):
        return [field.alias or name for name, field in here.model_fields.items()]
    return []


def _type_of(model: type[BaseModel], key: str) -> Any:
    """Return the section that a key of a section holds, looking through unions and mappings; else None."""
    for name, field in model.model_fields.items():
        if key in (name, field.alias):
            return _section_in(field.annotation)
    return None


def _section_in(annotation: Any) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    inner = [_section_in(part) for part in getattr(annotation, "__args__", ())]
    return next((part for part in inner if part is not None), None)


def _shown(value: object) -> str:
    text = json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."


def _yaml_hint(detail: ErrorDetails) -> str:
    if detail["type"] == "bool_type" and str(detail["input"]).lower() in ("yes", "no", "on", "off"):
        return "; write true or false (YAML 1.2 reads yes, no, on and off as strings)"
    if detail["type"] in ("int_type", "float_type") and isinstance(detail["input"], str):
        return "; remove the quotes" if _is_number(detail["input"]) else ""
    return ""


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _overridden(document: Document, overrides: Sequence[str]) -> Document:
    """Return the document with `KEY=VALUE` pairs set; their place is the command line."""
    for written in overrides:
        key, equals, value = written.partition("=")
        if not equals or not key.strip():
            raise InputError(f"--set {written}: expected KEY=VALUE with a dotted key, such as budget.trials=5")
        parsed = parse_document(f"value: {value}", f"--set {written}").data["value"]
        document = document.with_value(tuple(key.strip().split(".")), parsed, f"--set {written}")
    return document


def schema() -> Mapping[str, Any]:
    """Return the JSON Schema of study files."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **StudySpec.model_json_schema(by_alias=True)}
