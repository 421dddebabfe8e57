"""Observations of a user model's check: the hyperparameters that its code requests, and their conditions."""

from __future__ import annotations

from typing import Any

import keras_tuner

from pipelines.training.messages import ModelCheck
from search_spaces.hypermodel_request import HyperparameterRequest, make_request


class Observations:
    """Hyperparameters and conditional scopes that builds and trainings have shown.

    Attributes:
        requests: as an ordered set.
        checks: points of the space that were trained.
        is_complete: whether every training reached its end; else what was not seen proves nothing.
        notes: for the user, without repetition.
    """

    def __init__(self) -> None:
        self.requests: dict[HyperparameterRequest, None] = {}
        self.checks: dict[object, ModelCheck] = {}
        self.is_complete = True
        self.notes: dict[str, None] = {}
        self._opened: list[list[Any]] = []
        self._closed: list[list[Any]] = []

    @property
    def names(self) -> frozenset[str]:
        """Names that were requested."""
        return frozenset(request.name for request in self.requests)

    def record(self, hp: keras_tuner.HyperParameters) -> None:
        """Record what a build, or a training, requested from `hp`."""
        self.requests |= dict.fromkeys(make_request(each) for each in hp.space)
        self._opened += [scope for scope in hp.active_scopes if scope not in self._opened]
        self._closed += [scope for scope in hp.inactive_scopes if scope not in self._closed]

    def list_unopened(self) -> list[list[Any]]:
        """Return the conditions of the scopes that were inactive in every build so far."""
        return [scope for scope in self._closed if scope not in self._opened]

    def note(self, *notes: str) -> None:
        """Add notes for the user."""
        self.notes |= dict.fromkeys(notes)
