"""Connection of the outbox to MLflow."""

import subprocess
import sys

CODE = """
import sys
from pathlib import Path
from tracking.mlflow.sink import make_home_sink_factory
make_home_sink_factory(Path(sys.argv[1]) / "home", {}, namespace="it")
assert "mlflow" not in sys.modules
"""


def test_nothing_is_imported_or_created_before_the_connection(tmp_path):
    """A study starts without the seconds that MLflow's import takes, and without its database."""
    subprocess.run([sys.executable, "-c", CODE, str(tmp_path)], check=True)
    assert list(tmp_path.iterdir()) == []
