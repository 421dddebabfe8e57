"""Errors of training.

KerastudyError
├── ModelTooLargeError    a trial's model is over a ceiling; the trial is rejected
├── RebuildError          a trial's weights do not fit its model
└── TrialError            a trial cannot be scored; the trial fails
    └── NoObjectiveError  no epoch has a value of the objective
"""

from __future__ import annotations

from typing import Self

from search_spaces.errors import KerastudyError


class ModelTooLargeError(KerastudyError):
    """A trial's model is over a ceiling."""

    @classmethod
    def from_parameters(cls, parameters: int, most: int) -> Self:
        """Return the error of a model that has more weights than `limits.parameters` allows."""
        return cls(f"not trained: its model has {parameters:,} parameters, limits.parameters allows {most:,}")


class RebuildError(KerastudyError):
    """A trial's weights do not fit the model that its hyperparameters build."""


class TrialError(KerastudyError):
    """A trial cannot be scored; the message is the trial's reason."""


class NoObjectiveError(TrialError):
    """Training gave no value of the objective: no trial of the study can be scored."""
