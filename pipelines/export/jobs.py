"""Jobs that write, verify, measure and compare models in their deployment formats."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipelines.engines.base import JobFunction

if TYPE_CHECKING:
    from pipelines.export.compare_models import ComparisonJob, ModelComparison
    from pipelines.export.parity import Parity
    from pipelines.export.verify import VerificationJob, WrittenModel
    from pipelines.spec.data_spec import DataSpec
    from pipelines.spec.schema import GoalSpec
    from pipelines.study.objective import Goal
    from pipelines.training.messages import PastTrial, TrialJob, TrialOutcome


@dataclass(frozen=True)
class ExportJob:
    """Job of the worker that writes the files.

    Attributes:
        expected: file for the Keras model's predictions, which the verification reads.
    """

    trial: PastTrial
    folder: str
    formats: tuple[str, ...]
    expected: str


@dataclass(frozen=True)
class EnsembleJob:
    """Models to average.

    Attributes:
        trials: locations of the models.
        winner: index of the winner among them.
        folder: folder of the average, laid out like a trial's.
    """

    trials: tuple[PastTrial, ...]
    winner: int
    folder: str


@dataclass(frozen=True)
class RegistrationJob:
    """A user model to load as MLflow does.

    Attributes:
        trial: a trial of a user model.
        saved: the folder of its MLflow model.
    """

    trial: PastTrial
    saved: str


@dataclass(frozen=True)
class PredictionJob:
    """Rows of a file to predict.

    Attributes:
        trial: the trial whose model predicts.
        spec: the study file's `data`, with the file as its only source.
        base: folder that the file's name starts from.
        target: CSV file to write.
        is_sent: whether the file came from another machine, so that its rows may name no picture of this one.
        digest: of the model's files: the worker keeps the model for the next job with the same one. Empty to keep none.
    """

    trial: PastTrial
    spec: DataSpec
    base: str
    target: str
    is_sent: bool = False
    digest: str = ""


@dataclass(frozen=True)
class PredictionResult:
    """Predictions that were written.

    Attributes:
        rows: their number.
        columns: names of the columns with predictions.
        notes: choices made for the user.
    """

    rows: int
    columns: tuple[str, ...]
    notes: tuple[str, ...] = ()


# By name: the process that submits a job must not import Keras to name its function.
WRITE_FORMATS: JobFunction[ExportJob, WrittenModel] = JobFunction("pipelines.export.write_formats:write_formats")
VERIFY_EXPORT: JobFunction[VerificationJob, Parity] = JobFunction("pipelines.export.verify:verify_export")
COMPARE_MODELS: JobFunction[ComparisonJob, ModelComparison] = JobFunction(
    "pipelines.export.compare_models:compare_models"
)
BUILD_ENSEMBLE: JobFunction[EnsembleJob, tuple[float, float, str]] = JobFunction(
    "pipelines.export.ensemble:evaluate_ensemble", "building an ensemble"
)
PROVE_REGISTRATION: JobFunction[RegistrationJob, str] = JobFunction(
    "pipelines.export.registration:prove_registration", "proving the registration"
)
PREDICT_ROWS: JobFunction[PredictionJob, PredictionResult] = JobFunction("pipelines.export.predict:predict_rows")
CHECK_FORMATS: JobFunction[Sequence[GoalSpec], None] = JobFunction(
    "pipelines.export.registry:check_goals", "checking formats"
)
TRAIN_AND_MEASURE: JobFunction[tuple[TrialJob, tuple[Goal, ...]], TrialOutcome] = JobFunction(
    "pipelines.export.deployment_metrics:train_and_measure", "training"
)
