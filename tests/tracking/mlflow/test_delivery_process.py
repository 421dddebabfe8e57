"""Tests of the process that delivers to MLflow, as a process of its own."""

import json
import subprocess
import sys

IMPORTS = """
import json, sys
from tracking.mlflow.delivery_process import load_projection
load_projection()
before = [name for name in ("pandas", "scipy", "fastapi") if name in sys.modules]
import mlflow, pandas
from mlflow.models import infer_signature
table = pandas.DataFrame({"length": [1.5], "color": ["red"]})
data = mlflow.data.from_pandas(table)
print(json.dumps([before, data.schema.to_dict() == infer_signature(table).inputs.to_dict(), data.profile["num_rows"]]))
"""


def test_mlflow_is_loaded_without_what_no_delivery_needs():
    """It warns of nothing, and what needs a table after all gets pandas."""
    done = subprocess.run([sys.executable, "-c", IMPORTS], check=True, capture_output=True, text=True)

    assert (done.stderr, json.loads(done.stdout)) == ("", [[], True, 1])
