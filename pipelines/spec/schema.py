"""Schema of the study file: every key with its type, default and meaning.

This is the single source of the JSON Schema (`kerastudy schema`), of the reference page and of the checks. The space
has another grammar (`search_spaces.parse`); here it is an unchecked mapping.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from pipelines.spec.code_references import is_reference
from pipelines.spec.data_spec import DataSpec
from pipelines.spec.resources_spec import LimitsSpec, ResourcesSpec
from pipelines.spec.section import Alias, Name, Section
from pipelines.spec.units import Seconds
from search_spaces.values import Direction, describe

_MOST_OBJECTIVES = 8

Weight = Annotated[float, Field(ge=0.0)]


class ObjectiveSpec(Section):
    """The objective of a trial, taken at its best epoch."""

    metric: str = Field(description="A metric that training reports, such as val_accuracy or val_loss.")
    direction: Direction | None = Field(
        None, description="Direction of the metric; may be left out for Keras's metrics."
    )


class EarlyStoppingSpec(Section):
    """Early stopping of a trial."""

    patience: int = Field(8, ge=1, description="Epochs without improvement of the objective before training stops.")
    min_delta: float = Field(0.0, ge=0.0, description="Smallest change that counts as an improvement.")


class HeadSpec(Section):
    """Training of one of several targets that have a head each."""

    loss: str | None = Field(None, description="A Keras loss by name; chosen by the target's task when left out.")
    metrics: list[str] = Field(
        default=[], description="Keras metrics by name, reported in addition to those of the target's task."
    )
    weight: float = Field(1.0, gt=0.0, description="Weight of this head's loss in the sum that is trained on.")
    class_weight: Literal["balanced"] | dict[str, Weight] | None = Field(
        None,
        description="`balanced`, or a weight for each class of this target by its name; null gives all rows the same "
        "weight.",
    )


class TrainingSpec(Section):
    """Training settings that all trials share."""

    loss: str | None = Field(
        None,
        description="A Keras loss by name, such as mean_squared_error; chosen by the task when left out.",
    )
    metrics: list[str] = Field(
        default=[],
        description="Keras metrics by name, reported in addition to the task's metrics.",
    )
    weighted_metrics: list[str] = Field(
        default=[],
        description="Keras metrics by name that weigh rows as the loss does. Where rows have weights, the task's "
        "metrics are among them.",
    )
    heads: dict[str, HeadSpec] = Field(
        default={},
        description="Loss, metrics and weight by target, where several targets of different tasks have a head each.",
    )
    early_stopping: EarlyStoppingSpec | None = Field(
        default=EarlyStoppingSpec(),
        description="`null` turns early stopping off. Left out, it is off where a model of yours has its own `fit`.",
    )
    class_weight: Literal["balanced"] | dict[str, Weight] | None = Field(
        None, description="`balanced`, or a weight for each class by its name; null gives all rows the same weight."
    )
    weights: str | None = Field(
        None,
        description="File with weights for the backbone of the family `transfer`, without its top: `.h5` as Keras "
        "publishes it, `.weights.h5`, or a model's `.keras`; null starts from random weights. Nothing is downloaded.",
    )
    seeds: int = Field(
        1,
        ge=1,
        le=100,
        description="Trainings of each trial, each with another seed: its score is their mean, its model that of the "
        "best one. Only the first can be pruned.",
    )


SamplerName = Literal["auto", "random", "grid", "qmc", "tpe", "gp", "gp-optuna", "cma-es", "nsga2"]


class StartFromSpec(Section):
    """An earlier study as knowledge for this one."""

    study: Name = Field(
        description="A study of the same home with the same objective. Its best points are tried first, and `gp` "
        "learns from all of its trials; values that this space lacks are mapped or left out."
    )


class SearchSpec(Section):
    """The search: sampler, pruner and seed."""

    sampler: SamplerName = Field(
        "auto",
        description="`gp` for a Gaussian process over points and learning curves; Optuna's `tpe`, `random`, `nsga2`, "
        "`cma-es` and `gp-optuna` (the last two with the extra of that name); `qmc` for Sobol's sequence; `grid` for "
        "every combination in order; `auto` for what suits the study. None tries a combination twice, and the search "
        "ends when all were tried.",
    )
    pruner: Literal["auto", "none", "median", "hyperband", "asha", "freeze-thaw", "patience"] = Field(
        "auto",
        description="Comparison of trials at a few epochs of each. `asha` pauses them with a checkpoint, and the best "
        "third goes on; `freeze-thaw` pauses them too, and a Gaussian process chooses between them and a new one; "
        "`median` ends those worse than the median, `patience` those of them that stand still, `hyperband` all but "
        "the best third; `auto` chooses by epochs and budget. With several objectives the first one is compared.",
    )
    seed: int = Field(0, ge=0, lt=2**31, description="Seed of the sampler and, with a trial's number, of each trial.")
    repeat: Literal["auto", "never"] = Field(
        "auto",
        description="Whether a combination may be trained twice. `auto`: only one that `start_from` lists twice, and "
        "the single one of a study that searches nothing, with other seeds; `never`: not these either.",
    )
    undeclared: Literal["search", "fix"] = Field(
        "search",
        description="Hyperparameters that a user model requests and the space does not declare: `search` them in the "
        "ranges of the code, or `fix` them at the code's defaults.",
    )
    share_structure: int = Field(
        1,
        ge=1,
        le=1024,
        description="So many trials in a row get the same choices and whole numbers; only real numbers differ. This "
        "saves compilation if models are compiled one by one, and harms the search if structure matters.",
    )
    startup_trials: int | None = Field(
        None,
        ge=0,
        description="Trials before the sampler learns from them: 10 for `tpe`, 8 for `gp` where left out. The median "
        "pruner begins after half as many complete ones, 5 where left out.",
    )
    start_from: StartFromSpec | None = Field(None, description="An earlier study that this one learns from.")
    starting_points: int | None = Field(
        None,
        ge=0,
        le=100,
        description="Points tried after the space's defaults and `start_from`, where the sampler learns: a family's, "
        "learned on other data sets, or draws around the defaults. Left out, a fifth of the trials and at most 5.",
    )


class BudgetSpec(Section):
    """The end of the study: the first limit that is reached."""

    trials: int = Field(30, ge=1, le=1_000_000, description="Trials in total, failed and pruned ones included.")
    time: Seconds | None = Field(
        None,
        description='Working time, such as "30m", pauses not counted. No trial begins after it; those under way end.',
    )
    target: float | None = Field(None, description="Stop once a trial's score is at least this good.")
    patience: int | None = Field(None, ge=1, description="Stop after this many finished trials without a better score.")
    improvement: float | None = Field(
        None,
        gt=0.0,
        description="Stop when the sampler `gp` expects a further trial to be better by less than this, in the unit of "
        "the objective; the estimate is shown while the study runs.",
    )
    consecutive_failures: int | None = Field(None, ge=1, description="Stop after this many failed trials in a row.")


class SelectionSpec(Section):
    """Choice of the winner among the best trials."""

    finalists: Literal["auto"] | Annotated[int, Field(ge=0, le=100)] = Field(
        "auto",
        description="Number of the best trials that are trained again to choose the winner; with 0 the best trial "
        "wins. A single finalist shows how reliable its score is. `auto` takes up to 3 whose scores on these few rows "
        "cannot be distinguished, for at most 15 % of the search's time.",
    )
    seeds: int = Field(
        3,
        ge=1,
        le=100,
        description="Retrainings of each finalist, each with another seed; finalists are ranked by the mean.",
    )
    folds: int | None = Field(
        None,
        ge=2,
        le=50,
        description="Train each finalist by cross-validation over all rows but the test rows instead of on seeds.",
    )
    refit: bool = Field(
        False,
        description="Train the winner once more on the training and validation rows together, for the best number of "
        "epochs, and deliver that model where such models are better on validation rows held out.",
    )
    baselines: bool = Field(
        True,
        description="Score a constant prediction and a linear model on the rows of the trials, beside their scores.",
    )
    ensemble: bool | Annotated[int, Field(ge=3, le=51)] = Field(
        False,
        description="Average the winner's model and further trainings of it, each on a fold of the training and "
        "validation rows, into one model, and deliver that where the folds are as good. `true` averages 6 models, a "
        "number that many: so many times the size.",
    )

    @field_validator("ensemble", mode="before")
    @classmethod
    def _check_ensemble(cls, ensemble: object) -> object:
        if isinstance(ensemble, int) and not isinstance(ensemble, bool) and not 3 <= ensemble <= 51:
            raise ValueError(f"expected true, false, or 3 to 51 models, got {ensemble}")
        return ensemble

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        # The default of seeds is no conflict, only a written value is.
        if self.folds is not None and "seeds" in self.model_fields_set:
            raise ValueError("expected either seeds or folds, got both; remove one")
        if self.folds is not None and self.finalists in (0, "auto"):
            raise ValueError("folds are for finalists; set finalists to at least 1")
        return self


class TrackingSpec(Section):
    """Tracking in MLflow."""

    experiment: str | None = Field(
        None, min_length=1, max_length=500, description="MLflow experiment; the study's name if left out."
    )
    keep_models: int = Field(3, ge=1, description="Number of the best trials whose models are kept.")


ExportFormat = Literal[
    "keras",
    "keras_int8",
    "saved_model",
    "litert",
    "litert_float16",
    "litert_dynamic",
    "litert_int8",
    "onnx",
    "openvino",
]
"""The names in `pipelines.export.registry`, a layer above this one; a test compares both."""


class GoalSpec(Section):
    """One of several objectives."""

    metric: str = Field(
        description="A metric that training reports; or, of the trained model, `parameters`, `size_mb` or `latency_ms`."
    )
    direction: Direction | None = Field(
        None, description="Direction of the metric; may be left out for Keras's metrics and the model's measures."
    )
    format: ExportFormat | None = Field(
        None, description="Format of the file that `size_mb` and `latency_ms` measure; `keras` if left out."
    )
    at_most: float | None = Field(None, description="A model above this cannot win, and the sampler avoids it.")
    at_least: float | None = Field(None, description="A model below this cannot win, and the sampler avoids it.")

    @model_validator(mode="after")
    def _check_format(self) -> Self:
        if self.format is not None and self.metric not in MEASURED_OF_FILES:
            raise ValueError(f"format is for {' and '.join(MEASURED_OF_FILES)}, not for {self.metric}; remove it")
        return self


MEASURED_OF_FILES = ("size_mb", "latency_ms")
"""Measures of a trained model's file: megabytes (10^6 bytes), and the median milliseconds for one row."""

MEASURES = ("parameters", *MEASURED_OF_FILES)
"""Objectives that are not metrics of training: the first is the number of trainable weights."""


class ExportSpec(Section):
    """Export and registration of the winner."""

    formats: list[ExportFormat] = Field(
        default=["keras"], description="Formats that `kerastudy export` writes by default."
    )
    register_as: Name | None = Field(
        None, alias="register", description="Registered model's name in MLflow; the study's name if left out."
    )
    alias: Alias = Field(
        "champion",
        description="Alias given to the winner's registered version; `challenger` if another study's model has it.",
    )


class StudySpec(Section):
    """One study file."""

    study: Name = Field(description="The study's name: letters, digits, dots, dashes and underscores.")
    data: DataSpec = Field(description="The data: source, columns and split.")
    model: str = Field(
        min_length=1,
        description="A family shipped with kerastudy (`mlp`, `tabular`, `text`, `series`, `cnn`, `transfer`, `mixed`) "
        "or `hypermodel.py:build`.",
    )
    space: dict[str, Any] = Field(default={}, description="The search space; the family's shipped space when left out.")
    objective: ObjectiveSpec | None = Field(None, description="The objective; chosen by the task when left out.")
    objectives: list[GoalSpec] | None = Field(
        None,
        # For editors only: the validator below has a message that names the key to use instead.
        json_schema_extra={"minItems": 2, "maxItems": _MOST_OBJECTIVES},
        description="Several objectives instead of one: trials are scored on the first, a metric of training. No "
        "trial of the Pareto front is worse than another in all objectives.",
    )
    training: TrainingSpec = Field(default=TrainingSpec(), description="Training settings that all trials share.")
    search: SearchSpec = Field(default=SearchSpec(), description="Sampler, pruner and seed of the search.")
    budget: BudgetSpec = Field(default=BudgetSpec(), description="The end of the study.")
    limits: LimitsSpec = Field(default=LimitsSpec(), description="Limits of one trial.")
    resources: ResourcesSpec = Field(default=ResourcesSpec(), description="Resources of the study.")
    selection: SelectionSpec = Field(
        default=SelectionSpec(), description="Choice of the winner; `auto` is `{finalists: auto}`, the default."
    )
    tracking: TrackingSpec = Field(default=TrackingSpec(), description="Tracking in MLflow.")
    export: ExportSpec = Field(default=ExportSpec(), description="Export and registration of the winner.")

    # `info.data` holds the fields above the validated one: the order of the fields matters to these validators.
    @field_validator("objectives")
    @classmethod
    def _check_objectives(cls, goals: list[GoalSpec] | None, info: ValidationInfo) -> list[GoalSpec] | None:
        if goals is None:
            return None
        if info.data.get("objective") is not None:
            raise ValueError("expected either objective or objectives, got both; remove one")
        if not 2 <= len(goals) <= _MOST_OBJECTIVES:
            raise ValueError(f"expected 2 to {_MOST_OBJECTIVES} objectives, got {len(goals)}; one alone is `objective`")
        if goals[0].metric in MEASURES:
            raise ValueError(
                f"the first of the objectives must be a metric of training, which scores each epoch; {goals[0].metric} "
                "is not"
            )
        named = [(goal.metric, goal.format or "keras") for goal in goals]
        if twice := next((goal for goal in named if named.count(goal) > 1), None):
            raise ValueError(f"{twice[0]} is among the objectives twice; remove one")
        return goals

    @field_validator("resources")
    @classmethod
    def _check_backend(cls, resources: ResourcesSpec, info: ValidationInfo) -> ResourcesSpec:
        if resources.backend != "jax":
            return resources
        if is_reference(info.data.get("model", "")):
            raise ValueError("expected backend: tensorflow for a user model, got jax; remove it")
        if any(goal.metric in MEASURED_OF_FILES for goal in info.data.get("objectives") or ()):
            raise ValueError("a trial on jax leaves weights, and objectives measure each model's file; remove backend")
        return resources

    @field_validator("search")
    @classmethod
    def _check_several(cls, search: SearchSpec, info: ValidationInfo) -> SearchSpec:
        if info.data.get("objectives") and search.sampler == "cma-es":
            raise ValueError("the cma-es sampler takes one objective, not several; set sampler: gp, tpe or nsga2")
        if info.data.get("objectives") and search.pruner in ("hyperband", "freeze-thaw"):
            raise ValueError(
                f"the {search.pruner} pruner compares one score, not several; set pruner: asha or median, which "
                "compare the first objective"
            )
        return search

    @field_validator("budget")
    @classmethod
    def _check_improvement(cls, budget: BudgetSpec, info: ValidationInfo) -> BudgetSpec:
        if budget.improvement is None:
            return budget
        if info.data.get("objectives"):
            raise ValueError("improvement is that of one objective; remove it, or set objective in place of objectives")
        search = info.data.get("search")
        if search is not None and search.sampler not in ("auto", "gp"):
            raise ValueError(f"only the sampler gp estimates improvement, not {search.sampler}; set search.sampler: gp")
        return budget

    @field_validator("selection", mode="before", json_schema_input_type=SelectionSpec | Literal["auto"])
    @classmethod
    def _read_selection(cls, written: object) -> object:
        if written == "auto":
            return {"finalists": "auto"}
        if isinstance(written, (str, int, float)):
            raise ValueError(f"expected auto, or keys such as {{finalists: 3, seeds: 3}}, got {describe(written)}")
        return written

    @field_validator("selection")
    @classmethod
    def _check_folds(cls, selection: SelectionSpec, info: ValidationInfo) -> SelectionSpec:
        data = info.data.get("data")
        if data is None:
            return selection
        key = "split.column" if data.split.column is not None else "validation_source"
        if selection.folds is not None and (data.split.column is not None or data.validation_source is not None):
            raise ValueError(
                f"folds would mix the rows that data.{key} keeps apart; use seeds, or data.split.order or group in "
                f"place of data.{key}"
            )
        if data.split.folds is None:
            return selection
        if selection.folds is not None:
            raise ValueError("trials are scored over data.split.folds already; remove folds")
        if selection.ensemble:
            raise ValueError("an ensemble needs validation rows, and data.split.folds leaves none apart")
        return selection

    @property
    def score_objective(self) -> ObjectiveSpec | None:
        """The declared objective that trials are scored on: `objective`, or the first of `objectives`."""
        if not self.objectives:
            return self.objective
        return ObjectiveSpec(metric=self.objectives[0].metric, direction=self.objectives[0].direction)

    @property
    def models_kept(self) -> int:
        """Number of the best trials whose models are kept; every finalist is one, because it may win."""
        finalists = self.selection.finalists
        return max(self.tracking.keep_models, 0 if finalists == "auto" else finalists)
