"""Backends that a study's first jobs run on, which load while the command itself still does."""

from __future__ import annotations

from pipelines.data.reading.source_paths import may_import_keras
from pipelines.engines.base import Backend
from pipelines.study.study import Study
from pipelines.supervisor.fleet_eligibility import find_ineligible_reason


def list_first_backends(study: Study) -> tuple[Backend, ...]:
    """Return the backends to load for a study's data and its first trials, the slowest first."""
    trains: Backend = study.spec.resources.backend if find_ineligible_reason(study) else "jax"
    reads: Backend = "tensorflow" if may_import_keras(study.spec.data) else "none"
    return tuple(dict.fromkeys((trains, reads)))
