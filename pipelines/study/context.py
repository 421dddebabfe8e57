"""Context of a study at work: the fixed parts that its supervisor, recorder and final selection share."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from pipelines.data.prepared import DataSummary
from pipelines.spec.schema import StudySpec, TrainingSpec
from pipelines.study.combinations import Combinations, count_combinations
from pipelines.study.model_hyperparameters import (
    compute_most_epochs,
    describe_user_model,
    find_undeclared,
    read_requests,
    select_initial_values,
)
from pipelines.study.objective import Objective
from pipelines.study.study import Study
from pipelines.training.messages import UserModel
from pipelines.workspace.home import Home
from search_spaces.hypermodel_request import HyperparameterRequest
from search_spaces.space import Space


@dataclass(frozen=True)
class StudyContext:
    """A study with its prepared data.

    Attributes:
        study: the checked study file.
        summary: facts of the prepared data.
        home: folders of all studies.
        objective: the score of its trials, for the task of the data.
        requests: hyperparameters that its user model requested when the study was checked; empty for a shipped family.
    """

    study: Study
    summary: DataSummary
    home: Home
    objective: Objective
    requests: tuple[HyperparameterRequest, ...] = ()

    @classmethod
    def from_study(cls, study: Study, summary: DataSummary, home: Home) -> StudyContext:
        """Return the context of a study whose data and models are checked."""
        requests = read_requests(home.locate_study(study.name)) if study.has_user_model else ()
        return cls(
            study,
            summary,
            home,
            study.resolve_task_objective(summary.task),
            requests,
        )

    @property
    def name(self) -> str:
        """Name of the study."""
        return self.study.name

    @property
    def spec(self) -> StudySpec:
        """Settings of the study file."""
        return self.study.spec

    # Possible in a frozen dataclass: it writes to `__dict__`.
    @cached_property
    def training(self) -> TrainingSpec:
        """Settings of training that all jobs share, with the metrics that the objectives need."""
        return self.study.resolve_training(self.summary.task)

    @property
    def undeclared(self) -> tuple[HyperparameterRequest, ...]:
        """Hyperparameters that are searched although the space does not declare them."""
        return find_undeclared(self.requests, self.study.space.parameters) if self.study.searches_undeclared else ()

    @property
    def initial_values(self) -> Space:
        """Part of the space whose values a trial starts with."""
        return select_initial_values(self.study, self.requests)

    @property
    def most_epochs(self) -> int:
        """Most epochs of a training."""
        return compute_most_epochs(self.study, self.requests)

    @property
    def trainings(self) -> int:
        """Trainings of a trial: one on each fold, and all folds again with each further seed."""
        return self.summary.folds * self.spec.training.seeds

    @cached_property
    def combinations(self) -> Combinations:
        """Combinations of hyperparameters that its trials can have."""
        return count_combinations(self.study, self.requests)

    @property
    def most_trials(self) -> int:
        """Most trials that its search can take: those of the budget, or fewer where its space has fewer."""
        return self.combinations.limit_trials(self.spec.budget.trials)

    @cached_property
    def user_model(self) -> UserModel | None:
        """Facts of the user model for its trials; None for a shipped family."""
        return describe_user_model(self.study, self.requests)
