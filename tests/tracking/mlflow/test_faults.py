"""Faults of an MLflow server, each kind once: afterwards each run, point, file and model is there once."""

import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import mlflow
import pytest
from desk import Desk, scores
from fake_engine import FakeEngine
from fake_mlflow import FakeMlflow, mlflow_process
from mlflow_picture import drop_ids, list_runs, points, read_picture

from pipelines.operations.sync import SyncMonitor, sync
from pipelines.training.trial_folder import read_epochs
from pipelines.workspace.home import Home
from tracking.mlflow import client as mlflow_connection
from tracking.mlflow.names import decode_name
from tracking.mlflow.projection import MlflowProjection
from tracking.mlflow.sink import make_sink_factory
from tracking.outbox.dispatcher import OutboxDispatcher
from tracking.outbox.outbox import Backlog, Outbox
from tracking.outbox.records import ModelDisplaced
from tracking.store.database import Store

FAULTS = ["drop", "reset", "fail after", 503, "cut", 500]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A real server process."""
    with mlflow_process(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture
def fake(server):
    """A proxy in front of it."""
    proxy = FakeMlflow(server.address)
    yield proxy
    proxy.close()


@pytest.fixture(scope="module")
def client(server):
    """A client of the server, without the proxy."""
    mlflow_connection.connect(server.address)
    return mlflow.MlflowClient(server.address, registry_uri=server.address)


@pytest.fixture
def store(tmp_path):
    """An empty store; one kind is enough here, as all tests share a server."""
    with Store.open(tmp_path / "home") as opened:
        yield opened


@pytest.fixture
def files(tmp_path):
    """A folder of artifacts."""
    folder = tmp_path / "artifacts"
    folder.mkdir()
    (folder / "history.csv").write_text("epoch,loss\n0,1.0\n")
    (folder / "curve.png").write_bytes(b"png" * 1000)
    return str(folder)


@pytest.fixture
def records(a_study, files, keras_file):
    """Return a function that makes the records of two trials, for a new experiment and a new registered model."""

    def make(name):
        opened, *others = a_study("s", folder=files, models={1: keras_file}, register=name)
        *trials, closed = others
        return [replace(opened, experiment=name), *trials[:8], ModelDisplaced("s", 0), closed]

    return make


def group_rows(records):
    """Return records as the outbox sends them: those of trials together."""
    return [records[:1], records[1:5], records[5:9], records[-2:-1], records[-1:]]


def deliver(make_projection, records, *, most=1000):
    """Deliver batch by batch until each is taken, with a new process after every third failure; return the errors."""
    errors = []
    projection = make_projection()
    for batch in group_rows(records):
        while True:
            try:
                projection.deliver(batch)
                break
            except Exception as error:
                errors.append((projection.classify_error(error), error))
                assert len(errors) < most, error
            if len(errors) % 3 == 0:
                projection = make_projection()
                projection.remember(records[0])
    return errors


def of(records, name):
    """Return a study's records for another experiment and registered model."""
    opened, *others, closed = records
    return [replace(opened, experiment=name), *others, replace(closed, register=name)]


@pytest.mark.long
@pytest.mark.parametrize("fault", ["in turn", *(pytest.param(each, marks=pytest.mark.slow) for each in FAULTS)])
def test_every_request_fails_once(fake, client, records, fault):
    """Whatever happens to any one request, a repeated delivery completes the study, and doubles nothing.

    Each request fails when it comes for the first time; processes take turns in repeating.
    """
    name, seen = f"once-{fault}".replace(" ", "-"), set()
    told = records(name)
    deliver(lambda: MlflowProjection(fake.address, namespace=f"{name}-never"), of(told, f"{name}-never"))

    def first_time(request):
        # A model's description contains the time of its creation.
        known = request.method, request.path, b"" if request.method == "PUT" else request.body
        if known in seen or request.path.startswith("/api/2.0/mlflow/experiments/search"):
            return None
        seen.add(known)
        return FAULTS[len(seen) % len(FAULTS)] if fault == "in turn" else fault

    fake.fault = first_time
    errors = deliver(lambda: MlflowProjection(fake.address, namespace=name), told)
    fake.fault = lambda request: None
    assert len(errors) > 30
    severities = {"in turn": {"outage", "unclear"}, 500: {"unclear"}, "fail after": {"unclear"}}
    assert {severity for severity, _ in errors} == severities.get(fault, {"outage"})
    picture = read_picture(client, name)
    assert drop_ids(picture) == drop_ids(read_picture(client, f"{name}-never"))
    deliver(lambda: MlflowProjection(fake.address, namespace=name), told)
    assert read_picture(client, name) == picture


@pytest.mark.slow
def test_a_request_that_is_carried_out_late_leaves_no_twin(fake, client, records, monkeypatch):
    """A frozen server wakes up and carries out the first request and its repetition: one of each stays."""
    monkeypatch.setitem(mlflow_connection._SETTINGS, "MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    hung, repeated = set(), []

    def late(request):
        made = request.path.rpartition("/mlflow/")[2]
        if request.method != "POST" or made not in ("runs/create", "logged-models", "model-versions/create"):
            return None
        what = made, b"mlflow.parentRunId" in request.body
        if what not in hung:
            hung.add(what)
            return "hang"
        if fake.held:
            repeated.append(what)
            fake.release()
        return None

    fake.fault = late
    told = records("late")
    errors = deliver(lambda: MlflowProjection(fake.address), told)
    assert [severity for severity, _ in errors] == ["outage"] * 4
    assert sorted(repeated) == [
        ("logged-models", False),
        ("model-versions/create", False),
        ("runs/create", False),
        ("runs/create", True),
    ]
    fake.fault = lambda request: None
    deliver(lambda: MlflowProjection(fake.address, namespace="in-time"), of(told, "in-time"))
    assert drop_ids(read_picture(client, "late")) == drop_ids(read_picture(client, "in-time"))


@pytest.mark.slow
def test_a_file_that_is_refused_costs_nothing_else(fake, client, store, records):
    """If a file is too large for the server, all else arrives; and the file too once the server accepts it."""
    told = records("large")
    Outbox(store).add(told)
    fake.fault = lambda request: 413 if request.method == "PUT" and request.path.endswith("curve.png") else None
    running = OutboxDispatcher(store, make_sink_factory(fake.address, namespace=store.identity), longest_pause_s=0.01)
    running.start()
    until(lambda: not Outbox(store).count_pending())
    waiting = Outbox(store).read_backlog()
    assert (waiting.set_aside, "413" in waiting.last_error) == (4, True)
    parent, children = list_runs(client, "large")
    assert parent.info.status == "FINISHED"
    assert [run.info.status for run in children.values()] == ["FINISHED"] * 2
    assert children[1].data.metrics["best_val_accuracy"] == 0.8
    fake.fault = lambda request: None
    assert running.stop(60) == Backlog(0, 0, "")
    deliver(lambda: MlflowProjection(fake.address, namespace="small"), of(told, "small"))
    assert drop_ids(read_picture(client, "large")) == drop_ids(read_picture(client, "small"))


@pytest.mark.long
def test_odd_names_of_files_arrive(fake, client, records, tmp_path):
    """A server takes a file's name as a part of a URL: each file arrives under a name that means itself there."""
    for name in ("a#1.csv", "b?.csv", "50%41.csv", "line\nbreak.csv", "C:"):
        (tmp_path / "artifacts" / name).write_text(name)
    deliver(lambda: MlflowProjection(fake.address), [*records("odd")[:9]])
    _, children = list_runs(client, "odd")
    kept = [item.path for item in client.list_artifacts(children[0].info.run_id)]
    assert sorted(map(decode_name, kept)) == sorted(path.name for path in (tmp_path / "artifacts").iterdir())
    for path in kept:
        read = Path(client.download_artifacts(children[0].info.run_id, path, str(tmp_path))).read_text()
        assert path in ("history.csv", "curve.png") or read == decode_name(path)


def test_stopping_leaves_a_request_that_hangs(store, a_study):
    """`stop` does not wait for an answer that does not come, and the thread sends and stores nothing afterwards."""
    fake, outbox, told = FakeMlflow(), Outbox(store), a_study("hangs")
    outbox.add(told)
    fake.fault = lambda request: "hang"
    running = OutboxDispatcher(store, make_sink_factory(fake.address, namespace=store.identity))
    running.start()
    until(lambda: fake.held)
    assert running.stop(0.0) == running.stop(0.0) == Backlog(len(told), 0, "")
    assert fake.held == 1, "it hangs still"
    sent = len(fake.requests)
    fake.fault = lambda request: None
    fake.release()
    until(lambda: not running._is_running())
    assert len(fake.requests) == sent
    assert outbox.read_backlog() == Backlog(len(told), 0, "")
    fake.close()


@pytest.mark.long
def test_a_server_that_goes_and_comes_back(fake, client, store, records):
    """While connections are refused rows gather; then all arrive, in order, each once."""
    told = records("back")
    outbox = Outbox(store)
    outbox.add(told[:4])
    running = OutboxDispatcher(store, make_sink_factory(fake.address, namespace=store.identity))
    running.start()
    until(lambda: not outbox.count_pending())
    fake.leave()
    outbox.add(told[4:])
    until(lambda: "refused" in running.last_error or "reset" in running.last_error.lower())
    assert outbox.read_backlog().pending == len(told[4:])
    fake.come_back()
    assert running.stop(60) == Backlog(0, 0, "")
    deliver(lambda: MlflowProjection(fake.address, namespace="never"), of(told, "back-never"))
    assert drop_ids(read_picture(client, "back")) == drop_ids(read_picture(client, "back-never"))


@pytest.mark.long
def test_training_goes_on_while_the_server_is_dead(server, client, store, tmp_path, monkeypatch):
    """A server killed in the middle of a study: trials continue, and nothing is missing once it is back."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.address)

    def make_dispatcher(outbox):
        return OutboxDispatcher(store, make_sink_factory(server.address, namespace=store.identity), study="it")

    monkeypatch.setattr("desk.FakeDelivery", make_dispatcher)
    home = Home(tmp_path / "home", str(tmp_path / "home"))
    seen, waiting = [], []

    def has_trials():
        with suppress(AssertionError):  # the study's run may not be there yet
            return list_runs(client, "it")[1]
        return None

    def on_event(event):
        seen.append(event)
        if len(seen) == 12:
            until(has_trials)
            server.kill()
        elif len(seen) == 40:
            waiting.append(Outbox(store).count_pending("it"))
            server.start()

    desk = Desk(store, home)
    *_, ended = desk.run(FakeEngine(scores(3.0, 2.0, 1.0), on_event=on_event), trials=12)
    assert (ended.state, ended.trials) == ("finished", {"complete": 12})
    assert waiting[0] > 12
    assert [done.left for done in sync(home, [], 60, SyncMonitor())] in ([], [0])
    parent, children = list_runs(client, "it")
    assert parent.info.status == "FINISHED"
    assert [run.info.status for run in children.values()] == ["FINISHED"] * 12
    for number, run in children.items():
        epochs = read_epochs(home.locate_trial("it", number))
        expected = [(done.epoch + 1, done.at_ms, done.metrics["val_loss"]) for done in epochs]
        assert len(expected) == 3
        assert points(client, run, "val_loss") == expected
        assert len(points(client, run, "best_val_loss")) == 1
    assert [step for step, _, _ in points(client, parent, "best_so_far")] == list(range(12))
    assert len(client.search_model_versions("name = 'it'")) == 1


def until(condition, timeout_s=60):
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.02)
