"""MLflow's database file: whole or absent, whoever is killed while it is made."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tracking import mlflow_connection
from tracking.mlflow_database import make_database

MAKE = "import sys; from pathlib import Path; from tracking.mlflow_database import make_database; import mlflow\n"
MAKE += "print('now', flush=True); make_database(Path(sys.argv[1]))"


def test_a_kill_while_it_is_made_leaves_none(tmp_path):
    """Killed half way, it is not there; the next process makes it, and nothing of the first is left."""
    file = tmp_path / "mlflow.db"
    environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"}
    command = [sys.executable, "-c", MAKE, str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout.readline() == "now\n"
        while not any(size(each) > 100_000 for each in tmp_path.glob("making-*")):
            assert process.poll() is None
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
    assert not file.exists()
    assert mlflow_connection.connect(f"sqlite:///{file}").search_experiments()
    assert sorted(each.name for each in tmp_path.iterdir() if "making" in each.name) == []


def size(file: Path) -> int:
    """Bytes; none of one that went since it was listed, as SQLite's journals do at every commit."""
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0


def test_one_that_is_there_stays(tmp_path):
    """A file that another process made is not touched."""
    file = tmp_path / "mlflow.db"
    file.write_text("it")
    make_database(file)
    assert file.read_text() == "it"


def test_threads_of_one_process_take_turns(tmp_path):
    """Several studies of one process, of one home or of two, come to a database each can use."""
    files = [tmp_path / "one.db", tmp_path / "one.db", tmp_path / "two.db"]
    with ThreadPoolExecutor(3) as threads:
        list(threads.map(make_database, files))
    for file in set(files):
        assert mlflow_connection.connect(f"sqlite:///{file}").search_experiments()
