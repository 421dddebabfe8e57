"""Preload of the server that the next `kerastudy run` is forked from: what a supervisor imports at its start."""

from __future__ import annotations

from pipelines.cli import foreground, studies
from pipelines.operations import first_backends
from pipelines.search.gp import model
from tracking.store import optuna_schema, optuna_storage

__all__ = ["first_backends", "foreground", "model", "optuna_schema", "optuna_storage", "studies"]
