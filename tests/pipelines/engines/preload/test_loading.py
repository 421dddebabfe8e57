"""What fork servers load before workers are forked from them."""

import json

import pytest

from pipelines.engines.fork_server import ForkedProcess

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
LOOK = """
import json, pathlib, sys
loaded = [name for name in {names!r} if name in sys.modules]
{started}
pathlib.Path({file!r}).write_text(json.dumps([started, loaded]))
"""


@pytest.mark.parametrize("server", STARTED)
def test_a_server_loads_the_first_jobs_and_starts_no_runtime(server, tmp_path):
    """A runtime that is started before the fork leaves its workers without its threads: their first step would hang."""
    file = tmp_path / "seen.json"
    code = LOOK.format(names=FIRST_JOBS[server], started=STARTED[server], file=str(file))
    worker = ForkedProcess(f"pipelines.engines.preload.{server}", exec, (code, {}))
    worker.start()
    worker.join()
    assert json.loads(file.read_text()) == [False, FIRST_JOBS[server]]
