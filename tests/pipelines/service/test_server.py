"""A service starts small: what loads models and MLflow's client is loaded when a request needs it."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import sys
import pipelines.service.server
print(*sorted({"jax", "keras", "matplotlib", "mlflow", "tensorflow"} & sys.modules.keys()))
"""


def test_a_service_starts_without_keras_and_mlflow():
    """Keras is loaded by workers alone; MLflow's client would be a hundred megabytes and a second and a half."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
