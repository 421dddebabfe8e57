"""The long form of `tests/tracking/mlflow/test_faults.py`: real training while the MLflow server is away."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_five_minutes_without_mlflow(tmp_path):
    """Nothing is missing or doubled, and training has not waited."""
    found = load("mlflow_outage").outage(tmp_path, before_s=60, away_s=300, after_s=60)
    print(found)
    assert found.broken == []
    assert found.backlog > 0
    assert min(found.epochs[phase].count for phase in ("there", "away", "back")) > 50
    assert found.epochs["away"].median_ms < 2 * found.epochs["there"].median_ms


def load(name):
    """Return a script of this folder as a module."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
