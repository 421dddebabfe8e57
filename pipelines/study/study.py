"""A checked study: its settings, its search space, and the file that they come from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipelines.data.prepared import InputKind, Task, TaskKind
from pipelines.models import catalogue, head_objectives, objectives
from pipelines.spec.code_references import is_reference, split_reference
from pipelines.spec.schema import MEASURES, GoalSpec, ObjectiveSpec, StudySpec, TrainingSpec
from pipelines.study.fingerprint import StudyFingerprint
from pipelines.study.objective import (
    Objective,
    find_objective_path,
    resolve_heads_objective,
    resolve_objective,
    resolve_user_objective,
)
from pipelines.study.problem_places import locate_problem, sort_problems
from pipelines.study.space_notes import note_pairs_of_choices, note_unused_points
from search_spaces.errors import InputError, Problem
from search_spaces.space import Space
from search_spaces.yaml_document import Document


@dataclass(frozen=True)
class Study:
    """A checked study file.

    Attributes:
        base: folder that relative paths in the file start from.
        document: the parsed file, with the places of its keys: some problems show only with the data or the model.
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
        """Return whether the model is code of the user, and not a shipped family."""
        return is_reference(self.spec.model)

    @property
    def prefers(self) -> InputKind:
        """Return the form of features that the model is meant for."""
        return "any" if self.has_user_model else catalogue.find_family(self.spec.model).prefers

    @property
    def training(self) -> TrainingSpec:
        """Return the training settings, with the full path of the file of weights."""
        if (weights := self.weights_file) is None:
            return self.spec.training
        return self.spec.training.model_copy(update={"weights": str(weights)})

    @property
    def weights_file(self) -> Path | None:
        """Return the file that a backbone's weights come from; None where there is none."""
        written = self.spec.training.weights
        return None if written is None else (self.base / written).resolve()

    @property
    def user_objective(self) -> Objective | None:
        """Return the objective of a user model, which no task decides; None for a shipped family."""
        return resolve_user_objective(self.spec) if self.has_user_model else None

    @property
    def searches_undeclared(self) -> bool:
        """Return whether hyperparameters that only the model's code declares are searched."""
        return self.has_user_model and self.spec.search.undeclared == "search"

    @property
    def per_layer(self) -> frozenset[str]:
        """Return the concepts that the space declares layer by layer."""
        if self.has_user_model:
            return frozenset()
        return catalogue.find_family(self.spec.model).find_per_layer(self.space.parameters)

    def resolve_objective(self, task: TaskKind, *, is_weighted: bool = False, default_metric: str = "") -> Objective:
        """Return the objective, filling in what the file leaves to the data: to task, weights of rows, rare classes.

        Raises:
            InputError: if training on this data cannot use the loss, or never reports a metric.
        """
        if (user_objective := self.user_objective) is not None:
            return user_objective
        try:
            return resolve_objective(self.spec, task, is_weighted=is_weighted, default_metric=default_metric)
        except InputError as error:
            raise self.locate_problems(error) from None

    def resolve_task_objective(self, task: Task) -> Objective:
        """Return the objective of prepared data; see `resolve_objective`."""
        if task.heads and self.user_objective is None:
            try:
                return resolve_heads_objective(self.spec, task)
            except InputError as error:
                raise self.locate_problems(error) from None
        return self.resolve_objective(task.kind, is_weighted=task.is_weighted, default_metric=task.default_metric)

    def resolve_training(self, task: Task) -> TrainingSpec:
        """Return the settings of training on prepared data, with the metrics that the objectives need."""
        if self.has_user_model:
            return self.training
        objective = self.resolve_task_objective(task)
        metrics = [objective.metric, *(goal.metric for goal in objective.goals)]
        if task.heads:
            return head_objectives.add_metrics(task, self.training, metrics)
        return objectives.add_metrics(task.kind, self.training, metrics, is_weighted=task.is_weighted)

    def list_notes(self) -> tuple[Problem, ...]:
        """Return settings that are allowed, but seldom intended, with their places in the file."""
        return (
            *self._note_training_objective(),
            *self._note_directions(),
            *self._note_broken_constraints(),
            *self._note_random_weights(),
            *note_pairs_of_choices(self.space, self.document),
            *note_unused_points(self.space, self.document),
        )

    def _note_random_weights(self) -> Iterator[Problem]:
        if self.spec.model == "transfer" and self.spec.training.weights is None:
            message = "the backbone starts from random weights, which learn little from few pictures; name a file of"
            yield locate_problem(self.document, Problem(f"{message} weights in training.weights", "model"))

    def _note_training_objective(self) -> tuple[Problem, ...]:
        objective = self.spec.score_objective
        known = objective is not None and objectives.find_direction(objective.metric) is not None
        if objective is None or not known or objective.metric.startswith("val_"):
            return ()
        message = (
            f'"{objective.metric}" is what Keras reports for the training rows, which a model can learn by heart; '
            f'"val_{objective.metric}" is the same for the validation rows'
        )
        return (locate_problem(self.document, Problem(message, find_objective_path(self.document))),)

    def _note_directions(self) -> Iterator[Problem]:
        """Yield a note for each objective whose declared direction is not the usual one of its metric."""
        goals: list[tuple[str, GoalSpec | ObjectiveSpec | None]] = [("objective", self.spec.objective)]
        goals += [(f"objectives[{place}]", goal) for place, goal in enumerate(self.spec.objectives or ())]
        for key, goal in goals:
            if goal is None or goal.direction is None:
                continue
            usual = "minimize" if goal.metric in MEASURES else objectives.find_direction(goal.metric)
            if usual not in (None, goal.direction):
                end = "lowest" if goal.direction == "minimize" else "highest"
                message = f"trials with the {end} {goal.metric} are taken for the best; its usual direction is {usual}"
                yield locate_problem(
                    self.document, Problem(f"{message}, which it has without this key", f"{key}.direction")
                )

    def _note_broken_constraints(self) -> Iterator[Problem]:
        """Yield a note if all points that are tried for the smallest model break the constraints."""
        if not self.space.constraints:
            return
        from search_spaces.suggest import find_smallest  # loads Optuna, which workers do not need

        if broken := self.space.find_violations(find_smallest(self.space)):
            message = (
                f"no point was found that keeps them all, such as {broken[0]}; the study fails where there is none"
            )
            yield self.document.make_problem(("space", "constraints"), message)

    def compute_fingerprint(self) -> StudyFingerprint:
        """Return the fingerprint of the study, before its data is read.

        The budget, limits, resources and the steps after the search are no part of it: they may change between runs.
        So may `data.streaming`.
        """
        # After validation: a key that is left out equals its default.
        spec = self.spec.model_dump(mode="json", include={"study", "data", "model", "objective", "training"})
        del spec["data"]["streaming"]  # the same rows and the same parts, wherever they are kept
        if self.spec.data.series is not None and not self.spec.data.series.by_input:
            del spec["data"]["series"]["by_input"]  # as before there was this key
        for name in self.spec.data.list_later_keys():
            del spec["data"][name]
        for section, key in (("data", "tasks"), ("training", "heads")):
            if not spec[section][key]:  # nothing is declared: the study is that of versions without the key
                del spec[section][key]
        for head in spec["training"].get("heads", {}).values():
            if head["class_weight"] is None:  # likewise
                del head["class_weight"]
        if self.spec.objectives is not None:
            spec["objectives"] = [goal.model_dump(mode="json") for goal in self.spec.objectives]
        # The file alone: what it imports may change without notice.
        code = split_reference(self.spec.model, self.base, "model")[0].read_bytes() if self.has_user_model else b""
        if self.weights_file is not None:
            with self.weights_file.open("rb") as file:
                code += hashlib.file_digest(file, "sha256").digest()
        return StudyFingerprint(_digest([spec, code.hex()]), _digest(self.space.to_dict()))

    def locate_problems(self, error: InputError) -> InputError:
        """Return the error with each problem's place in this file, where its key can be found."""
        located = [problem if problem.place else locate_problem(self.document, problem) for problem in error.problems]
        return InputError(sort_problems(self.document, located))


def _digest(content: object) -> str:
    # 128 bits: enough against chance.
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:32]
