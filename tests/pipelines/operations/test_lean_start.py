"""Imports of a supervisor's process: what its first trial does not need is not loaded before it."""

import subprocess
import sys
from pathlib import Path

import pytest

SUPPORT = Path(__file__).parents[2] / "support"
LATE = (
    "tensorflow", "keras", "keras_tuner", "jax", "sklearn", "matplotlib", "mlflow", "pandas", "pyarrow", "scipy", "PIL",
    "jinja2", "alembic", "tenacity",
)  # fmt: skip
CODE = f"""
import sys
from pathlib import Path
sys.path.append({str(SUPPORT)!r})
import {{modules}}
from desk import Desk, scores
from fake_engine import FakeEngine
from pipelines.supervisor.events import TrialBegan
from pipelines.workspace.home import Home
from tracking.store.database import Store
home = Home(Path(sys.argv[1]), sys.argv[1])
with Store.open(home.store) as store:
    events = Desk(store, home).supervisor(FakeEngine(scores(1.0)), trials=2).run()
    while not isinstance(next(events), TrialBegan):
        pass
    print(*[name for name in {LATE} if name in sys.modules])
"""


@pytest.mark.parametrize(
    "modules",
    [
        "pipelines.cli.studies, pipelines.cli.foreground, pipelines.operations.first_backends",
        "pipelines.operations.run, pipelines.supervisor.event_log",
    ],
)
def test_the_first_trial_trains_before_late_libraries_load(modules, tmp_path):
    """Of the libraries of workers, of reports and of MLflow none is loaded when the first trial trains."""
    done = subprocess.run(
        [sys.executable, "-c", CODE.format(modules=modules), str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == []
