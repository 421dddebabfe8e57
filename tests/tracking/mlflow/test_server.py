"""MLflow's server: delivery through it, and its pages in a real browser."""

import html
import os
import re
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, chdir

import mlflow
import psutil
import pytest
from browser import BROWSER, needs_browser
from mlflow.entities import ViewType
from process_tree import find_descendants, read_command_line

from search_spaces.errors import KerastudyError
from tracking.mlflow import urls
from tracking.mlflow.model_registry import KEY_TAG
from tracking.mlflow.server import find_free_port, serve
from tracking.mlflow.sink import make_sink_factory
from tracking.mlflow.study_pages import list_study_pages
from tracking.mlflow.study_runs import TrackedStudy
from tracking.outbox.dispatcher import OutboxDispatcher
from tracking.outbox.outbox import Outbox
from tracking.store.database import Store


@pytest.fixture(scope="module")
def server(tmp_path_factory, free_port):
    """A server that starts in a folder whose files have the names of libraries; its home, a store, its address."""
    home, here = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("here")
    for name in ("mlflow", "uvicorn", "signal"):
        (here / f"{name}.py").write_text("raise SystemExit('the wrong one')\n")
    with Store.open(home) as store, ExitStack() as running:
        with chdir(here):
            base = running.enter_context(serve(home, {}, port=free_port))
        yield home, store, base


@pytest.fixture(scope="module")
def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def delivered(server, a_study, keras_file, tmp_path_factory):
    """The study `digits`, delivered through the server."""
    home, store, base = server
    folder = tmp_path_factory.mktemp("artifacts")
    (folder / "history.csv").write_text("epoch,loss\n0,1.0\n")
    records = a_study("digits", folder=str(folder), models={1: keras_file}, register="digits")
    Outbox(store).add(records)
    delivery = OutboxDispatcher(store, make_sink_factory(base, namespace=store.identity))
    delivery.start()
    left = delivery.stop(60)
    assert (left.pending, left.set_aside) == (0, 0), left.last_error
    return home, base


def test_a_study_arrives_through_a_server(delivered):
    """Runs, artifacts, the model and its version are the same through a server as on a file."""
    home, base = delivered
    client = mlflow.MlflowClient(base)
    experiment = client.get_experiment_by_name("digits-experiment")
    runs = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    assert sorted(runs) == ["digits", "digits-t000", "digits-t001", "digits-t002 (pruned)", "digits-t003"]
    assert runs["digits-t001"].data.metrics["best_val_accuracy"] == 0.8
    assert [item.path for item in client.list_artifacts(runs["digits-t001"].info.run_id)] == ["history.csv"]
    version = client.get_model_version_by_alias("digits", "champion")
    (model,) = client.search_logged_models([experiment.experiment_id])
    assert (version.run_id, version.source) == (runs["digits-t001"].info.run_id, f"models:/{model.model_id}")
    assert "mlflow.modelVersions" in model.tags
    assert list((home / "mlartifacts").rglob("model.keras"))


@pytest.mark.long
def test_a_server_that_comes_back_gets_everything(tmp_path, a_study):
    """Rows written while MLflow is down wait, and all arrive once it is up; no server outlives its context."""
    with Store.open(tmp_path) as store, socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        outbox = Outbox(store)
        outbox.add(a_study("late"))
        delivery = OutboxDispatcher(
            store, make_sink_factory(f"http://127.0.0.1:{port}", namespace=store.identity), longest_pause_s=0.5
        )
        delivery.start()
        while not delivery.last_error:
            delivery._halt.wait(0.05)
        assert outbox.count_pending() == len(a_study("late"))
        with serve(tmp_path, {}, port=port) as base:
            left = delivery.stop(60)
            assert (left.pending, left.set_aside) == (0, 0), left.last_error
            (shown,) = list_study_pages(base, base)
            servers = [child for child in find_descendants(os.getpid()) if f"{port}" in read_command_line(child)]
            assert servers
    assert not any(child.is_running() for child in servers)
    assert (shown.study, shown.leaderboard.startswith(f"http://127.0.0.1:{port}/#/experiments/")) == ("late", True)


def test_a_taken_port_is_no_obstacle():
    """A free port is chosen when the wanted one is in use."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        wanted = taken.getsockname()[1]
        assert find_free_port("127.0.0.1", wanted) not in {0, wanted}


def test_a_server_ends_with_the_process_that_started_it(tmp_path):
    """Killed with SIGKILL, that process has no time to end it; and the server's children end too."""
    code = (
        "import os, sys, time\n"
        "from pathlib import Path\n"
        "from tracking.mlflow.server import start_server\n"
        'sleeps = \'import subprocess, sys; subprocess.run([sys.executable, "-c", "import time; time.sleep(60)"])\'\n'
        "child = start_server([sys.executable, '-c', sleeps], open(sys.argv[1], 'wb'), os.environ)\n"
        "print(child.pid, flush=True); time.sleep(60)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "log")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as starter:
        server = psutil.Process(int(starter.stdout.readline()))
        deadline = time.monotonic() + 120
        while not any("sleep" in " ".join(read_command_line(child)) for child in server.children(recursive=True)):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        started = [server, *server.children(recursive=True)]
        starter.kill()
    _, alive = psutil.wait_procs(started, timeout=120)
    assert alive == []


def test_a_server_that_is_set_is_only_named(tmp_path):
    """With MLFLOW_TRACKING_URI at a server nothing is started."""
    with serve(tmp_path, {"MLFLOW_TRACKING_URI": "http://mlflow:5000"}) as base:
        assert base == "http://mlflow:5000"
    assert not list(tmp_path.iterdir())


def test_a_server_that_fails_names_its_log(tmp_path):
    """A server that cannot start is a clear error with the place of its log."""
    environ = {"MLFLOW_TRACKING_URI": "nosuch://host/name"}
    with (
        pytest.raises(KerastudyError, match=r"ended at once .* its log is .*mlflow-server\.log"),
        serve(tmp_path, environ, port=0),
    ):
        pass


@needs_browser
def test_the_leaderboard_shows_the_objective(delivered, tmp_path):
    """The leaderboard's address opens a table with the trials by score, the objective's column and the parameters."""
    home, base = delivered
    (shown,) = list_study_pages(urls.make_home_tracking_uri(home), base)
    page = seen(shown.leaderboard, tmp_path, wanted="digits-t001")
    assert "Leaderboard digits" in page
    columns = set(re.findall(r'role="columnheader"[^>]* col-id="[a-z]+\.`([^`]+)`"', page))
    assert {"best_val_accuracy", "learning_rate", "optimizer", "momentum", "state"} <= columns
    shown = [int(number) for number in re.findall(r"digits-t00(\d)", page)]
    assert list(dict.fromkeys(shown))[:2] == [1, 0]


@needs_browser
def test_the_note_links_to_the_leaderboard(delivered, tmp_path):
    """The study's page shows its result in words, with links that stay on the same MLflow."""
    home, base = delivered
    (shown,) = list_study_pages(urls.make_home_tracking_uri(home), base)
    page = seen(shown.run, tmp_path, wanted="best val_accuracy 0.8")
    assert "Finished: best val_accuracy 0.8, trial 1" in page
    targets = [html.unescape(target) for target in re.findall(r'href="([^"]*viewStateShareKey[^"]*)"', page)]
    assert targets
    assert all(target.startswith("#/experiments/") for target in targets)


def seen(address, scratch, *, wanted):
    """Return the page as a browser has built it; a busy machine gets a second, longer look."""
    for budget_ms in (20_000, 60_000):
        command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={scratch / 'browser'}"]
        command += ["--window-size=2400,1200", f"--virtual-time-budget={budget_ms}", "--dump-dom", address]
        page = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False).stdout
        if wanted in page:
            return page
    return page


# Last: it removes the study of the tests above.
def test_a_study_goes_from_a_server(delivered, server):
    """Hidden, shown again and removed: its name, its key and its files are free for a later study."""
    _, store, _ = server
    home, base = delivered
    client = mlflow.MlflowClient(base)
    known = client.get_experiment_by_name("digits-experiment")
    runs = client.search_runs([known.experiment_id])

    def connect():
        return TrackedStudy(
            base, artifact_root=None, namespace=store.identity, experiment="digits-experiment", study="digits"
        )

    connect().archive("for a test")
    assert client.search_runs([known.experiment_id]) == []
    connect().unarchive()
    assert len(client.search_runs([known.experiment_id])) == len(runs) > 1
    assert [version.promoted_as for version in connect().list_versions()] == [("champion",)]
    assert connect().remove() == ()
    assert client.get_experiment_by_name("digits-experiment") is None
    assert client.search_registered_models() == []
    left = client.search_runs([known.experiment_id], run_view_type=ViewType.ALL)
    assert not [run for run in left if KEY_TAG in run.data.tags]
    assert not list(home.rglob("history.csv"))
    assert connect().remove() == ()
