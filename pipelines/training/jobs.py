"""Jobs that train trials, check models and write model files."""

from __future__ import annotations

from collections.abc import Sequence

from pipelines.engines.base import JobFunction
from pipelines.training.fleet.messages import FleetJob
from pipelines.training.messages import (
    ModelCheck,
    ModelsAhead,
    PastTrial,
    TrialJob,
    TrialOutcome,
    UserModelCheck,
)

TRAIN_TRIAL: JobFunction[TrialJob, TrialOutcome] = JobFunction("pipelines.training.trial:train_trial", "training")
TRAIN_FLEET: JobFunction[FleetJob, None] = JobFunction("pipelines.training.fleet.job:train_fleet", "training")
BUILD_MODELS: JobFunction[tuple[TrialJob, ...], tuple[ModelCheck, ...]] = JobFunction(
    "pipelines.training.model_check:build_models", "checking models"
)
TIME_MODELS: JobFunction[tuple[TrialJob, ...], tuple[ModelCheck, ...]] = JobFunction(
    "pipelines.training.model_check:time_models", "checking models"
)
CHECK_USER_MODEL: JobFunction[tuple[TrialJob, ...], UserModelCheck] = JobFunction(
    "pipelines.training.user_model.model_check:check_user_model", "checking models"
)
WRITE_MODELS: JobFunction[Sequence[PastTrial], None] = JobFunction(
    "pipelines.training.write_models:write_models", "writing models"
)
WRITE_MODELS_AHEAD: JobFunction[ModelsAhead, None] = JobFunction(
    "pipelines.training.write_models:write_models_ahead", "writing models"
)
