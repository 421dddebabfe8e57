"""The service as people use it: the real command, real clients, real training, and a kill in the middle.

One service runs for the whole file, with MLflow's UI. The command line runs in this process, but for one smoke test.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from browser import browsing, needs_browser
from command import environment, kerastudy, kerastudy_here
from service_process import ServiceProcess, find_free_port, follow_events
from small_studies import write_mixed_csv

from pipelines.client.http import HttpClient
from pipelines.client.local import LocalClient
from pipelines.supervisor.event_log import parse_event
from pipelines.workspace.home import Home
from tracking.store.database import Store
from tracking.store.study_queue import StudyQueue

STUDY = """\
study: {name}
data: {{source: {source}, target: bought, split: {{validation: 0.25, test: 0.2, seed: 1}}}}
model: mlp
space: {{depth: 1, units: [4, 8], batch_size: 16, activation: relu, epochs: {epochs}}}
training: {{early_stopping: null}}
search: {{sampler: random, pruner: none}}
budget: {{trials: {trials}}}
resources: {{workers: 1, fleet: off}}
"""
PREDICT = """\
import sys
import keras, tensorflow as tf
model = keras.models.load_model(sys.argv[1])
kinds = {each.name: each.dtype for each in model.inputs}
row = {name: tf.constant(["Oslo" if kind == "string" else float("nan")]) for name, kind in kinds.items()}
print(float(model(row)[0][0]))
"""


def study_text(name, *, source="mixed.csv", trials=2, epochs=1):
    return STUDY.format(name=name, source=source, trials=trials, epochs=epochs)


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    """A service that nothing went wrong in, to the end."""
    running = ServiceProcess(tmp_path_factory.mktemp("service"))
    yield running
    if running.process.poll() is None:
        running.end()
    assert "Traceback" not in running.output.read_text()


@pytest.fixture(scope="module")
def call(service, tmp_path_factory):
    """Return a function that runs a verb on the service and returns what it printed; it has logged in as admin."""
    folder = tmp_path_factory.mktemp("client")
    here = {"KERASTUDY_URL": service.url, "KERASTUDY_CONFIG": str(folder / "config")}

    def run(*arguments, status=0):
        done = kerastudy_here(*arguments, cwd=folder, **here)
        assert done.returncode == status, (arguments, done.stdout, done.stderr)
        return done.stdout if status == 0 else done.stderr

    run.folder = folder
    assert "run kerastudy login" in run("list", status=2)
    assert "as admin, who may admin" in run("login", "--token-file", service.home / "admin.token")
    return run


@pytest.fixture(scope="module")
def mine(service, call):
    """A finished study of two trials, whose data was uploaded with it, and whose records MLflow has."""
    write_mixed_csv(call.folder / "mine.csv")
    file = call.folder / "study.yaml"
    file.write_text(study_text("mine", source="mine.csv"))
    assert "study.yaml:2:16: data.source: this service has no data called mine.csv" in call("submit", file, status=2)
    assert "mine is" in call("submit", file, "--upload")
    assert call("wait", "mine") == "mine finished: 2 trials\n"
    deadline = time.monotonic() + 60
    while service.show("mine")["waiting_for_mlflow"] or "mine finished: 2 trials" not in call("logs", "mine"):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    return "mine"


# The command line --------------------------------------------------------------------------------------------


def test_a_verb_prints_the_same_of_a_service_and_of_its_home(service, call, mine):
    """With KERASTUDY_URL every verb goes to the service; the output is that of the home, whose place stays private."""
    for words in (("trials", mine), ("best", mine), ("logs", mine), ("trials", mine, "--json")):
        local = kerastudy_here(*words, "--home", service.home, cwd=call.folder).stdout
        assert call(*words) == local.replace(str(service.home), "HOME")
    assert "mine is finished: there is nothing to pause" in call("pause", mine, status=2)


def test_a_follower_gets_the_events_of_the_home(service, mine):
    """What `wait` shows of a study is the same over HTTP and on the home, up to the study's end."""
    with HttpClient(service.url, service.token) as remote:
        events = list(remote.read_events(mine))
    assert [parse_event(each) for each in events] == [
        parse_event(each) for each in LocalClient(Home.find(str(service.home))).read_events(mine)
    ]
    assert [each.kind for each in events if each.kind.startswith("study")] == ["study-ended"]
    assert {"search-started", "trial-began", "epoch-ended", "trial-ended"} <= {each.kind for each in events}


def test_the_command_is_a_client_in_a_process_too(service, mine, tmp_path):
    """With a token in its environment it needs no login."""
    done = kerastudy("trials", mine, "--json", cwd=tmp_path, KERASTUDY_URL=service.url, KERASTUDY_TOKEN=service.token)
    assert [each["state"] for each in json.loads(done.stdout)] == ["complete"] * 2


@pytest.mark.long
def test_an_exported_model_predicts(call, mine):
    """The files that arrive are those of the export, verified where they were made; nothing is overwritten."""
    assert "no trial 99" in call("export", mine, "--trial", "99", "--to", "out", status=2)
    assert "decisions equal on 100.0%" in call("export", mine, "--to", "out")
    assert "exists already" in call("export", mine, "--to", "out", status=2)
    command = [sys.executable, "-c", PREDICT, call.folder / "out" / "model.keras"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert 0.0 <= float(done.stdout.split()[-1]) <= 1.0


@pytest.mark.long
def test_rows_are_predicted_and_studies_compared_as_on_the_home(service, call, mine):
    """The answers of a service are those of its home, to the letter, and a page is written here."""
    rows = call.folder / "mine.csv"
    local = kerastudy_here("predict", mine, rows, "--home", service.home, cwd=call.folder)
    assert local.stdout.startswith("age,a b,x/y") and local.stdout.count("\n") == 81
    assert call("predict", mine, rows) == local.stdout
    assert "80 rows with bought" in call("predict", mine, rows, "--to", "predicted.csv")
    assert (call.folder / "predicted.csv").read_text(encoding="utf-8") == local.stdout
    (call.folder / "less.csv").write_text("age\n1\n")
    # By the process that has loaded the model already.
    assert "these columns are missing: " in call("predict", mine, "less.csv", status=2)
    assert call("predict", mine, rows) == local.stdout
    file = call.folder / "rival.yaml"
    file.write_text(study_text("rival"))
    call("submit", file, "--wait")
    local = kerastudy_here("compare", mine, "rival", "--home", service.home, cwd=call.folder)
    assert "winners on the same 16 test rows, those of mine" in local.stdout
    printed = call("compare", mine, "rival", "--to", "both.html")
    # The table's columns are as wide as the places of the machine, which a service hides.
    hidden = local.stdout.replace(str(service.home), "HOME").replace(f"{service.folder / 'data'}/", "")
    here, there = hidden.split(), printed.split()
    assert there[: len(here)] == here
    assert printed.splitlines()[-1].startswith("both.html: comparison")
    assert str(service.home) not in (call.folder / "both.html").read_text(encoding="utf-8")


@pytest.mark.long
def test_a_promotion_compares_on_the_service(service, call, mine):
    """The winner holds the alias already; the other trial is compared with it on test rows."""
    best = json.loads(call("best", mine, "--json"))["trial"]["number"]
    assert call("promote", mine) == f"version 1 (trial {best} of study mine) has models:/mine@champion already\n"
    assert "alias: expected an alias" in call("promote", mine, "--alias", "../x", status=2)
    other = service.client.post(f"/v1/studies/{mine}:promote", params={"trial": 1 - best})
    assert (other.status_code, other.json()["comparison"]["part"]) == (200, "test")


def test_tokens_are_made_and_kept_secret(service, call):
    """An admin makes, lists and removes them; one that others can read is not used."""
    stored = call.folder / "config" / "kerastudy" / "tokens.json"
    assert stored.stat().st_mode & 0o077 == 0
    assert call("token", "create", "eve", "--scope", "read").strip().startswith("ks_")
    assert "eve" in call("token", "list")
    call("token", "remove", "eve")
    stored.chmod(0o644)
    assert "others can read" in call("list", status=2)
    stored.chmod(0o600)


# MLflow's UI -------------------------------------------------------------------------------------------------


def test_a_study_has_an_address_in_mlflow(service, call, mine):
    """With a token, it leads to the study's leaderboard, wherever MLflow is."""
    page = service.show(mine)["page"]
    assert page == "/mlflow/studies/mine"
    assert f"{service.url}{page}: up to date" in call("show", mine)
    led = service.client.get(page)
    assert (led.status_code, led.headers["location"].split("?")[0]) == (307, "/mlflow/#/experiments/1/runs")
    assert "viewStateShareKey=" in led.headers["location"]
    unknown = service.client.get("/mlflow/studies/mime")
    assert (unknown.status_code, 'did you mean "mine"' in unknown.json()["detail"]) == (404, True)
    assert httpx.get(f"{service.url}{page}", timeout=120).status_code == 401
    with Store.open(service.home) as store:
        StudyQueue(store).enqueue("new", StudyQueue(store).get(mine).document.replace("mine", "new"), "x:y")
    assert "new" in service.client.get("/mlflow/studies/new").json()["detail"]


@needs_browser
def test_a_browser_shows_mlflow_behind_the_services_tokens(service, mine, tmp_path):
    """A person who gives a token on the sign-in page sees the study's trials, and lands where the link led."""
    with browsing(tmp_path) as browser:
        address, shown = browser.sign_in(f"{service.url}/mlflow/studies/mine", service.token, wanted="mine-t000")
    assert address.startswith(f"{service.url}/mlflow/#/experiments/1/runs?viewStateShareKey=")
    assert "Leaderboard mine" in shown
    assert "mine-t000" in shown


# Ends and starts ---------------------------------------------------------------------------------------------


def test_a_home_is_served_once(service):
    """A second service on it would start the same studies."""
    done = kerastudy_here("--home", service.home, "serve", "--port", str(find_free_port()), cwd=service.folder)
    assert (done.returncode, "is served already, by process" in done.stderr) == (1, True)


def test_data_that_cannot_be_used_fails_the_study(service):
    """It shows only when the data is read; the reason is the study's, and its name is free again."""
    text = study_text("broken").replace("target: bought", "target: sold")
    service.submit(text)
    assert service.wait("broken", "failed", "finished") == "failed"
    assert "sold" in str(service.show("broken")["reason"])
    service.submit(text.replace("sold", "bought"))
    assert service.control("broken", "cancel") == "cancelled"


@pytest.fixture(scope="module")
def endless(service):
    """A study that runs until it is told to end, however slow the machine is."""
    name = service.submit(study_text("endless", epochs=1_000_000))
    service.wait(name, "running")
    return name


@pytest.mark.long
def test_sigterm_puts_studies_back(service, endless):
    """It ends well, its studies wait in the queue, and the next start goes on with them."""
    assert service.end() == 0
    with Store.open(service.home) as store:
        assert StudyQueue(store).get(endless).state == "queued"
    service.start()
    service.wait(endless, "running")


@pytest.mark.long
def test_studies_of_several_clients_through_a_kill(service, endless):
    """Clients at once, a study cancelled in the queue, the service killed: each study ends as was requested, once."""
    made = service.client.post("/v1/tokens", json={"name": "ann"}).json()["token"]
    ann = {"Authorization": f"Bearer {made}"}
    with ThreadPoolExecutor(3) as clients:
        assert set(clients.map(service.submit, [study_text("s0", epochs=400)] * 3)) == {"s0"}
    assert service.client.post("/v1/studies", content=study_text("s1"), headers=ann).status_code == 202
    unwanted = service.submit(study_text("unwanted"))
    assert service.control(unwanted, "cancel") == "cancelled"
    assert service.control("s1", "pause") == "paused"
    with follow_events(service, "s0") as events:
        assert service.control(endless, "pause") == "paused"
        service.wait("s0", "running")
        while "trial-began" not in events:
            time.sleep(0.05)
        service.end(signal.SIGKILL)  # the supervisor process notices, and puts its trials back
        with Store.open(service.home) as store:
            assert StudyQueue(store).get("s0").state in ("queued", "running")
        service.start()
        assert service.wait("s0", "finished", "failed") == "finished"
        deadline = time.monotonic() + 120
        while not events or events[-1] != "study-ended":
            assert time.monotonic() < deadline, events
            time.sleep(0.1)
    assert events.count("trial-ended") == 2
    assert (service.show("s1")["state"], service.show(unwanted)["state"]) == ("paused", "cancelled")
    trials = service.client.get("/v1/studies/s0/trials").json()["trials"]
    assert [each["state"] for each in trials] == ["complete"] * 2
    assert "s0 finished: 2 trials" in service.client.get("/v1/studies/s0/logs").text
    assert service.control(endless, "cancel") == "cancelled"
