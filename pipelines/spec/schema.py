"""The study file's model: every key that a person may write, its type, default and meaning.

This is the single source of the JSON Schema (`kerastudy schema`), of the reference page and of the checks. The
space has a language of its own (`search_spaces.parse`); here it is carried as it was written.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationInfo,
    field_validator,
    model_validator,
)

from search_spaces.yaml_document import described

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)")
_CLOCK = re.compile(r"(\d{1,2}):(\d\d)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(B|KB|MB|GB|TB)", re.IGNORECASE)
_BYTES = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_ALIAS = re.compile(r"^[A-Za-z0-9_-]{1,100}$")
_VERSION = re.compile(r"latest|v\d+", re.IGNORECASE)
# What the operating system's timers and limits take without overflowing, and no study needs.
_LONGEST_S = 10_000 * 86_400
_LARGEST_BYTES = 10**18
_MOST_OBJECTIVES = 8


def duration_s(written: object) -> float:
    """Return the seconds in `90`, `"30s"`, `"5m"`, `"1h30m"` or `"2d"`.

    Raises:
        ValueError: if it is not a positive duration written in one of these ways.
    """
    if isinstance(written, (int, float)) and not isinstance(written, bool):
        seconds: float = written
    elif isinstance(written, str) and _DURATION.sub("", written).strip() == "" and written.strip():
        seconds = sum(float(number) * _SECONDS[unit] for number, unit in _DURATION.findall(written))
    else:
        clock = _CLOCK.fullmatch(written) if isinstance(written, str) else None
        hint = f'; write "{clock[1]}h{clock[2]}m" or "{clock[1]}m{clock[2]}s"' if clock else ""
        raise ValueError(f'expected a duration such as 90, "30s", "5m" or "1h30m", got {described(written)}{hint}')
    if not seconds > 0:
        raise ValueError(f"expected a duration above zero, got {described(written)}")
    if seconds > _LONGEST_S:
        raise ValueError(f"expected a duration of at most {_LONGEST_S // 86_400} days, got {described(written)}")
    return float(seconds)


def size_bytes(written: object) -> int:
    """Return the bytes in `4000000000`, `"512MB"` or `"4GB"` (powers of ten).

    Raises:
        ValueError: if it is not a positive size written in one of these ways.
    """
    if isinstance(written, (int, float)) and not isinstance(written, bool) and written == written // 1:
        size = written
    elif isinstance(written, str) and (found := _SIZE.fullmatch(written.strip())):
        size = float(found[1]) * _BYTES[found[2].upper()]
    else:
        raise ValueError(f'expected a size such as "512MB" or "4GB", got {described(written)}')
    if size < 1:
        raise ValueError(f"expected a size above zero, got {described(written)}")
    if size > _LARGEST_BYTES:
        raise ValueError(f"expected a size of at most {_LARGEST_BYTES // 10**12} TB, got {described(written)}")
    return int(size)


def size_text(size: int) -> str:
    """Return a size in bytes as a person reads it, in powers of ten.

    >>> size_text(512_300_000)
    '512.3 MB'
    """
    unit, factor = max(
        ((unit, factor) for unit, factor in _BYTES.items() if factor <= max(size, 1)), key=lambda u: u[1]
    )
    return f"{size / factor:.4g} {unit}"


_DURATION_TEXT = Annotated[str, Field(pattern=r"^\s*(\d+(\.\d+)?\s*(ms|s|m|h|d)\s*)+$")]
_SIZE_TEXT = Annotated[str, Field(pattern=r"^\s*\d+(\.\d+)?\s*[KMGTkmgt]?[Bb]\s*$")]
Seconds = Annotated[
    float,
    BeforeValidator(duration_s, json_schema_input_type=Annotated[float, Field(gt=0, le=_LONGEST_S)] | _DURATION_TEXT),
]
Bytes = Annotated[
    int,
    BeforeValidator(size_bytes, json_schema_input_type=Annotated[int, Field(ge=1, le=_LARGEST_BYTES)] | _SIZE_TEXT),
]
NAME_MEANS = "a name of up to 100 letters, digits, dots, dashes and underscores that begins with a letter or digit"
"""What `Name` accepts, in words."""


def alias_name(written: object) -> str:
    """Return an alias of a registered model.

    Raises:
        ValueError: if MLflow refuses it: it reads `latest` and `v1` as versions.
    """
    if isinstance(written, str) and _ALIAS.fullmatch(written) and not _VERSION.fullmatch(written):
        return written
    raise ValueError(
        "expected an alias of up to 100 letters, digits, dashes and underscores, neither latest nor a version such as "
        f"v1, got {described(written)}"
    )


Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
Alias = Annotated[
    str, BeforeValidator(alias_name, json_schema_input_type=Annotated[str, Field(pattern=_ALIAS.pattern)])
]
Weight = Annotated[float, Field(ge=0.0)]
_Pixels = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0.0, lt=1.0)]


class Section(BaseModel):
    """A part of a study file: immutable, strict about types, and with no unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class SplitSpec(Section):
    """How rows are divided. Choose one way: shares, separate files, a split column, or folds."""

    validation: Share = Field(0.2, description="Share of the rows used for validation, which trials are scored on.")
    test: Share = Field(0.1, description="Share of the rows held out for the winner alone.")
    seed: int = Field(0, ge=0, lt=2**32, description="Seed of the division; the same seed gives the same rows.")
    stratify: bool = Field(True, description="Keep class shares equal in every part (classification only).")
    column: str | None = Field(
        None,
        description="Column that holds `train`, `validation` or `test` for each row; overrides the shares.",
    )
    folds: int | None = Field(
        None, ge=2, le=50, description="Score each trial as the mean over this many cross-validation folds."
    )

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.column is not None and self.folds is not None:
            raise ValueError("expected either column or folds, got both; remove one")
        if self.validation + self.test >= 1:
            raise ValueError(
                f"validation + test must be below 1 to leave rows for training, got {self.validation + self.test:g}"
            )
        if self.folds is None and self.column is None and self.validation == 0:
            raise ValueError("validation must be above 0: trials are scored on validation rows")
        return self


class ColumnSpec(Section):
    """What to do with one column, where the inferred choice is not wanted."""

    type: Literal["numeric", "boolean", "string", "date"] | None = Field(
        None, description="Type of the column; inferred from its values when left out."
    )
    encoding: Literal["one_hot", "embedding", "hash"] | None = Field(
        None,
        description="How a string column becomes numbers; chosen by its number of categories when left out.",
    )


class DataSpec(Section):
    """Where the data is and how it is divided."""

    source: str = Field(
        min_length=1,
        description="A .csv, .parquet or .npz file, an image folder (one sub-folder a class), `sklearn:<name>`, "
        "`keras:<name>`, or `loader.py:function`. Paths are relative to the study file.",
    )
    target: str | list[str] | None = Field(
        None, description="Target column or columns of a table; several give multi-output regression."
    )
    validation_source: str | None = Field(None, description="A separate file that holds the validation rows.")
    test_source: str | None = Field(None, description="A separate file that holds the test rows.")
    task: Literal["auto", "binary", "multiclass", "regression", "multi_output_regression"] = Field(
        "auto", description="What is predicted; inferred from the target when left at `auto`."
    )
    split: SplitSpec = Field(default=SplitSpec(), description="How rows are divided.")
    drop: list[str] = Field(default=[], description="Columns to leave out, such as identifiers.")
    columns: dict[str, ColumnSpec] = Field(default={}, description="Choices for single columns.")
    missing_values: list[str] = Field(
        default=[], description='Strings that mean "missing" besides the empty field, such as "?".'
    )
    image_size: tuple[_Pixels, _Pixels] | None = Field(
        None, description="Height and width that an image folder's pictures are resized to."
    )
    scale_target: bool = Field(
        True,
        description="Train a regression on a standardised target; predictions stay in the target's own units.",
    )

    @field_validator("image_size", mode="before")
    @classmethod
    def _list_as_pair(cls, written: object) -> object:
        if written is None:
            return None
        pair = tuple(written) if isinstance(written, (list, tuple)) else ()
        if len(pair) != 2 or not all(type(size) is int and size >= 1 for size in pair):
            shown = list(pair) if pair else described(written)
            raise ValueError(f"expected height and width in pixels, such as [32, 32], got {shown}")
        return pair


class ObjectiveSpec(Section):
    """What a trial is scored on, at its best epoch."""

    metric: str = Field(description="A metric that training reports, such as val_accuracy or val_loss.")
    direction: Literal["minimize", "maximize"] | None = Field(
        None, description="Whether less or more is better; known for Keras's metrics, so it may be left out."
    )


class EarlyStoppingSpec(Section):
    """When a trial ends before its epochs are over."""

    patience: int = Field(8, ge=1, description="Epochs without improvement of the objective before training stops.")
    min_delta: float = Field(0.0, ge=0.0, description="Smallest change that counts as an improvement.")


class TrainingSpec(Section):
    """What is the same for every trial of the study."""

    loss: str | None = Field(
        None,
        description="A Keras loss by name, such as mean_squared_error; chosen by the task when left out.",
    )
    metrics: list[str] = Field(
        default=[],
        description="Keras metrics by name, reported besides those that the task brings.",
    )
    early_stopping: EarlyStoppingSpec | None = Field(
        default=EarlyStoppingSpec(), description="`null` turns early stopping off."
    )
    class_weight: Literal["balanced"] | dict[str, Weight] | None = Field(
        None, description="`balanced`, or a weight for each class by its name; null weighs all rows alike."
    )


class SearchSpec(Section):
    """How the space is searched."""

    sampler: Literal["tpe", "random", "grid"] = Field("tpe", description="Optuna's sampler.")
    pruner: Literal["none", "median", "hyperband"] = Field(
        "median", description="Optuna's pruner; it sees the objective at a few epochs of each trial."
    )
    seed: int = Field(0, ge=0, lt=2**31, description="Seed of the sampler and, with a trial's number, of each trial.")
    undeclared: Literal["search", "fix"] = Field(
        "search",
        description="What becomes of hyperparameters that a model of your own asks for and the space does not "
        "declare: searched as the code declares them, or fixed at the code's defaults.",
    )
    share_structure: int = Field(
        1,
        ge=1,
        le=1024,
        description="So many trials in a row get the same choices and whole numbers, and draw only real numbers anew. "
        "It spares compiling where models are compiled one by one, and costs the search dearly where structure "
        "matters.",
    )
    startup_trials: int = Field(10, ge=0, description="Random trials before TPE and the median pruner begin.")


class BudgetSpec(Section):
    """When the study ends; whichever comes first."""

    trials: int = Field(30, ge=1, le=1_000_000, description="Trials in total, failed and pruned ones included.")
    time: Seconds | None = Field(None, description='Working time of the study, such as "30m", pauses not counted.')
    target: float | None = Field(None, description="Stop once a trial's score is at least this good.")
    patience: int | None = Field(None, ge=1, description="Stop after this many finished trials without a better score.")


class LimitsSpec(Section):
    """What one trial may take; beyond it the trial fails with that reason, or is not trained at all."""

    trial_time: Seconds | None = Field(
        None, description='Longest training of one trial over all its attempts, such as "5m".'
    )
    memory: Bytes | None = Field(None, description='Most memory of one worker, such as "4GB".')
    parameters: int | None = Field(
        None,
        ge=1,
        description="Most weights of a model; a trial whose model has more is pruned before it is trained.",
    )
    model_memory: Bytes | None = Field(
        None,
        description='Most memory that training a model is estimated to take, such as "500MB"; a trial whose model '
        "takes more is pruned before it is trained.",
    )
    attempts: int = Field(
        3,
        ge=1,
        le=100,
        description="How often a trial is tried whose worker dies, hangs or runs out of memory; it goes on from its "
        "last checkpoint.",
    )
    stall: Seconds = Field(120.0, description="A worker that reports no batch for this long is taken to hang.")


class ResourcesSpec(Section):
    """What the study may use."""

    workers: int | None = Field(None, ge=1, le=256, description="Worker processes; as many as cores when left out.")
    fleet: Literal["auto", "off"] | Annotated[int, Field(ge=1, le=1024)] = Field(
        "auto",
        description="Whether many trials train together as one program: `auto` where that is expected to be faster, "
        "`off` never, a number so many at a time in each worker.",
    )


class SelectionSpec(Section):
    """How the winner is chosen among the best trials, and what is made of it."""

    finalists: int = Field(
        0,
        ge=0,
        le=100,
        description="How many of the best trials are trained again to choose the winner; with 0 the best trial wins. "
        "A single finalist shows how far its score can be trusted.",
    )
    seeds: int = Field(
        3,
        ge=1,
        le=100,
        description="How often each finalist is trained again, each time with another seed; it is ranked by the mean.",
    )
    folds: int | None = Field(
        None,
        ge=2,
        le=50,
        description="Train each finalist by cross-validation over all rows but the test rows instead of on seeds.",
    )
    refit: bool = Field(
        False,
        description="Train the winner once more on the training and validation rows together, for as many epochs as "
        "were best, and hand over that model.",
    )
    ensemble: bool = Field(
        False,
        description="Average the finalists' models, and keep that as one model where it beats the winner's on the "
        "validation rows.",
    )

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        if self.folds is not None and "seeds" in self.model_fields_set:
            raise ValueError("expected either seeds or folds, got both; remove one")
        if self.folds is not None and not self.finalists:
            raise ValueError("folds are for finalists; set finalists to at least 1")
        if self.ensemble and self.finalists < 2:
            raise ValueError(f"an ensemble needs at least 2 finalists, got {self.finalists}; raise finalists")
        return self


class TrackingSpec(Section):
    """What goes to MLflow."""

    experiment: str | None = Field(None, min_length=1, description="MLflow experiment; the study's name if left out.")
    keep_models: int = Field(3, ge=1, description="How many of the best trials keep their model.")


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
"""The names in `pipelines.export.registry`, which is far above; a test holds them equal."""


class GoalSpec(Section):
    """One of several objectives."""

    metric: str = Field(
        description="A metric that training reports; or, of the trained model, `parameters`, `size_mb` or `latency_ms`."
    )
    direction: Literal["minimize", "maximize"] | None = Field(
        None, description="Whether less or more is better; known for Keras's metrics and for the model's measures."
    )
    format: ExportFormat | None = Field(
        None, description="The file that `size_mb` and `latency_ms` are measured of; `keras` if left out."
    )
    at_most: float | None = Field(None, description="A model above this cannot win, and the sampler avoids it.")
    at_least: float | None = Field(None, description="A model below this cannot win, and the sampler avoids it.")

    @model_validator(mode="after")
    def _format_of_a_file(self) -> Self:
        if self.format is not None and self.metric not in MEASURED_OF_FILES:
            raise ValueError(f"format is for {' and '.join(MEASURED_OF_FILES)}, not for {self.metric}; remove it")
        return self


MEASURED_OF_FILES = ("size_mb", "latency_ms")
"""What is measured of a trained model's file: its megabytes (10^6 bytes), and the median milliseconds for one row."""

MEASURES = ("parameters", *MEASURED_OF_FILES)
"""Objectives that are not metrics of training: the first is the number of trainable weights."""


class ExportSpec(Section):
    """What becomes of the winner."""

    formats: list[ExportFormat] = Field(
        default=["keras"], description="Formats that `kerastudy export` writes by default."
    )
    register_as: Name | None = Field(
        None, alias="register", description="Registered model's name in MLflow; the study's name if left out."
    )
    alias: Alias = Field(
        "champion",
        description="Alias given to the winner's registered version; `challenger` where another study's model has it.",
    )


class StudySpec(Section):
    """One study file."""

    study: Name = Field(description="The study's name: letters, digits, dots, dashes and underscores.")
    data: DataSpec = Field(description="Where the data is and how it is divided.")
    model: str = Field(
        min_length=1, description="A family shipped with kerastudy (`mlp`, `cnn`) or `hypermodel.py:build`."
    )
    space: dict[str, Any] = Field(default={}, description="The search space; the family's shipped space when left out.")
    objective: ObjectiveSpec | None = Field(None, description="What is optimised; chosen by the task when left out.")
    objectives: list[GoalSpec] | None = Field(
        None,
        json_schema_extra={"minItems": 2, "maxItems": _MOST_OBJECTIVES},
        description="Several objectives instead of one: trials are scored on the first, a metric of training, and no "
        "trial of the front is worse than another in all of them.",
    )
    training: TrainingSpec = Field(default=TrainingSpec(), description="What is the same for every trial.")
    search: SearchSpec = Field(default=SearchSpec(), description="How the space is searched.")
    budget: BudgetSpec = Field(default=BudgetSpec(), description="When the study ends.")
    limits: LimitsSpec = Field(default=LimitsSpec(), description="What one trial may take.")
    resources: ResourcesSpec = Field(default=ResourcesSpec(), description="What the study may use.")
    selection: SelectionSpec = Field(default=SelectionSpec(), description="How the winner is chosen.")
    tracking: TrackingSpec = Field(default=TrackingSpec(), description="What goes to MLflow.")
    export: ExportSpec = Field(default=ExportSpec(), description="What becomes of the winner.")

    @field_validator("objectives")
    @classmethod
    def _several(cls, goals: list[GoalSpec] | None, info: ValidationInfo) -> list[GoalSpec] | None:
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

    @field_validator("search")
    @classmethod
    def _pruner_of_one_score(cls, search: SearchSpec, info: ValidationInfo) -> SearchSpec:
        if info.data.get("objectives") and "pruner" in search.model_fields_set and search.pruner != "none":
            raise ValueError(f"the {search.pruner} pruner compares one score, not several; set pruner: none")
        return search

    @field_validator("selection")
    @classmethod
    def _folds_once(cls, selection: SelectionSpec, info: ValidationInfo) -> SelectionSpec:
        data = info.data.get("data")
        if data is None or data.split.folds is None:
            return selection
        if selection.folds is not None:
            raise ValueError("trials are scored over data.split.folds already; remove folds")
        if selection.ensemble:
            raise ValueError("an ensemble needs validation rows, and data.split.folds leaves none apart")
        return selection

    @property
    def scored_on(self) -> ObjectiveSpec | None:
        """What trials are scored on, as far as the file says: the objective, or the first of several."""
        if not self.objectives:
            return self.objective
        return ObjectiveSpec(metric=self.objectives[0].metric, direction=self.objectives[0].direction)

    @property
    def models_kept(self) -> int:
        """How many of the best trials keep their model: a finalist may win."""
        return max(self.tracking.keep_models, self.selection.finalists)
