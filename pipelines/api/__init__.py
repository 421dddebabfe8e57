"""Python API: load or make a study, run it, use its result. The package `kerastudy` exports it."""

from __future__ import annotations

from pipelines.api.results import BestTrialResult, StudyResult
from pipelines.api.studies import load_result, load_study, make_study, run, run_study
from pipelines.study.study import Study
from search_spaces.errors import InputError, KerastudyError, StudyFailedError
from search_spaces.parameters import Categorical, Fixed, Float, Int
from search_spaces.space import Space

__all__ = [
    "BestTrialResult",
    "Categorical",
    "Fixed",
    "Float",
    "InputError",
    "Int",
    "KerastudyError",
    "Space",
    "Study",
    "StudyFailedError",
    "StudyResult",
    "load_result",
    "load_study",
    "make_study",
    "run",
    "run_study",
]
