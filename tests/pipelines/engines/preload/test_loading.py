"""What fork servers load before workers are forked from them."""

import subprocess
import sys

import pytest

STARTED = {
    "jax": "from jax._src import xla_bridge; started = bool(xla_bridge._backends)",
    "tensorflow": "from tensorflow.python.eager import context; started = context._context is not None",
}
STARTED["tensorflow_whole"] = STARTED["tensorflow"]
FIRST_JOBS = {
    "jax": ["pipelines.training.fleet.job"],
    "tensorflow": ["pipelines.data.prepare", "pipelines.training.model_check"],
    "tensorflow_whole": ["pipelines.data.prepare", "pipelines.training.user_model.model_check"],
}


def said_by(code):
    """Return what a new Python process prints."""
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()


@pytest.mark.parametrize("server", STARTED)
def test_a_server_loads_the_first_jobs_and_starts_no_runtime(server):
    """A runtime that is started before the fork leaves its workers without its threads: their first step would hang."""
    loaded = f"all(name in sys.modules for name in {FIRST_JOBS[server]})"
    code = f"import sys, pipelines.engines.preload.{server}; {STARTED[server]}; print(started, {loaded})"
    assert said_by(code) == ["False", "True"]
