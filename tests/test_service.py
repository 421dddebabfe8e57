"""The service as people use it: the real command, real clients, real training, and a kill in the middle."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path
from urllib.request import urlopen

import httpx
import psutil
import pytest
from browser import browsing, needs_browser
from command import COMMAND, environment, kerastudy
from small_studies import write_mixed_csv

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


def study_text(name, *, source="mixed.csv", trials=2, epochs=3):
    return STUDY.format(name=name, source=source, trials=trials, epochs=epochs)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Service:
    """`kerastudy serve` on a home of its own."""

    def __init__(self, folder: Path, *, studies=1, mlflow=False):
        self.folder, self.home, self.port = folder, folder / "home", free_port()
        (folder / "data").mkdir()
        write_mixed_csv(folder / "data" / "mixed.csv")
        config = f"port: {self.port}\ndata: [{folder / 'data'}]\nstudies: {studies}\nuploads: 1MB\n"
        (folder / "service.yaml").write_text(config + f"mlflow: {str(mlflow).lower()}\n")
        self.url = f"http://127.0.0.1:{self.port}"
        self.output = folder / "service.out"
        self.start()
        self.token = (self.home / "admin.token").read_text().strip()
        self.client = httpx.Client(
            base_url=self.url, headers={"Authorization": f"Bearer {self.token}"}, timeout=120, trust_env=False
        )

    def start(self):
        with self.output.open("ab") as output:
            command = [COMMAND, "--home", self.home, "serve", "--config", self.folder / "service.yaml"]
            self.process = subprocess.Popen(command, stdout=output, stderr=output, env=environment())
        deadline = time.monotonic() + 60
        while True:
            with suppress(OSError), urlopen(f"{self.url}/healthz", timeout=2):
                return
            assert self.process.poll() is None, self.output.read_text()
            assert time.monotonic() < deadline, self.output.read_text()
            time.sleep(0.1)

    def children(self):
        return psutil.Process(self.process.pid).children(recursive=True)

    def end(self, number=signal.SIGTERM):
        """End it by a signal, and wait until everything that it began is gone."""
        children = self.children()
        self.process.send_signal(number)
        status = self.process.wait(90)
        _, alive = psutil.wait_procs(children, timeout=60)
        assert alive == []
        return status

    def submit(self, text, **headers):
        answer = self.client.post("/v1/studies", content=text, headers=headers)
        assert answer.status_code == 202, answer.text
        return answer.json()["study"]

    def state(self, name):
        return self.client.get(f"/v1/studies/{name}").json()["state"]

    def wait(self, name, *states, seconds=240):
        deadline = time.monotonic() + seconds
        while (state := self.state(name)) not in states:
            assert time.monotonic() < deadline, (name, state, self.output.read_text())
            time.sleep(0.2)
        return state


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    running = Service(tmp_path_factory.mktemp("service"))
    yield running
    if running.process.poll() is None:
        running.end()
    assert "Traceback" not in running.output.read_text()


@contextmanager
def following(service, name):
    """Collect a study's events as a client does that takes up a broken stream after the last event it saw."""
    events, last, ended = [], [None], threading.Event()

    def follow():
        while not ended.is_set():
            header = {"Last-Event-ID": last[0]} if last[0] else {}
            with (
                suppress(httpx.HTTPError),
                service.client.stream(
                    "GET", f"/v1/studies/{name}/events", headers=header, timeout=httpx.Timeout(10, read=5)
                ) as stream,
            ):
                for line in stream.iter_lines():
                    if line.startswith("event: "):
                        events.append(line.removeprefix("event: "))
                    elif line.startswith("id: "):
                        last[0] = line.removeprefix("id: ")
            ended.wait(0.2)

    thread = threading.Thread(target=follow)
    thread.start()
    try:
        yield events
    finally:
        ended.set()
        thread.join(30)


def test_studies_of_several_clients_through_a_kill(service, tmp_path):
    """Two clients at once, one study cancelled, the service killed: all ends as asked for, and the winner predicts."""
    made = service.client.post("/v1/tokens", json={"name": "ann"}).json()["token"]
    ann = {"Authorization": f"Bearer {made}"}
    with ThreadPoolExecutor(4) as clients:
        again = [clients.submit(service.submit, study_text("s0", trials=3, epochs=40)) for _ in range(3)]
        other = clients.submit(service.client.post, "/v1/studies", content=study_text("s1"), headers=ann)
    assert {each.result() for each in again} == {"s0"}
    assert other.result().status_code == 202
    unwanted = service.submit(study_text("unwanted"))
    with following(service, "s0") as events:
        service.wait("s0", "running")
        while "trial-begun" not in events:
            time.sleep(0.1)
        assert service.client.post(f"/v1/studies/{unwanted}:cancel").json()["state"] == "cancelled"
        service.end(signal.SIGKILL)  # its studies' processes hear of it, and put their trials back
        with Store.open(service.home) as store:
            assert StudyQueue(store).get("s0").state in ("queued", "running")
        service.start()
        assert service.wait("s0", "finished", "failed") == "finished"
        deadline = time.monotonic() + 20
        while "study-ended" not in events or events[-1] != "study-ended":
            assert time.monotonic() < deadline, events
            time.sleep(0.2)
    assert events.count("trial-ended") == 3
    assert service.wait("s1", "finished", "failed") == "finished"
    assert service.state(unwanted) == "cancelled"
    trials = service.client.get("/v1/studies/s0/trials").json()["trials"]
    assert [each["state"] for each in trials] == ["complete"] * 3
    log = service.client.get("/v1/studies/s0/logs").text
    assert "s0 finished: 3 trials" in log
    archive = service.client.post("/v1/studies/s0:export", params={"format": "keras"})
    assert archive.headers["content-type"] == "application/zip"
    with zipfile.ZipFile(BytesIO(archive.content)) as opened:
        opened.extractall(tmp_path)
    [model] = tmp_path.glob("*/model.keras")
    code = f"""
import keras, tensorflow as tf
model = keras.models.load_model({str(model)!r})
row = {{"age": 40.0, "a b": 0.1, "x/y": 1.0, "\u00e9": 0.5, "dense": 1.0, "city": "Oslo"}}
names = [each.name for each in model.inputs]
kinds = {{each.name: each.dtype for each in model.inputs}}
values = [float("nan") if kinds[name] != "string" else "Oslo" for name in names]
print(float(model({{name: tf.constant([value]) for name, value in zip(names, values)}})[0][0]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment(), check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert 0.0 <= float(done.stdout.split()[-1]) <= 1.0


def test_the_same_words_on_the_command_line(service, tmp_path):
    """With KERASTUDY_URL every verb speaks to the service; the output is that of a home."""
    here = {"KERASTUDY_URL": service.url, "KERASTUDY_CONFIG": str(tmp_path / "config")}

    def call(*arguments, status=0):
        done = kerastudy(*arguments, cwd=tmp_path, **here)
        assert done.returncode == status, (arguments, done.stdout, done.stderr)
        return done.stdout if status == 0 else done.stderr

    assert "run kerastudy login" in call("list", status=2)
    assert "as admin, who may admin" in call("login", "--token-file", service.home / "admin.token")
    stored = tmp_path / "config" / "kerastudy" / "tokens.json"
    assert stored.stat().st_mode & 0o077 == 0
    write_mixed_csv(tmp_path / "mine.csv")
    file = tmp_path / "study.yaml"
    file.write_text(study_text("mine", source="mine.csv"))
    assert "study.yaml:2:16: data.source: this service has no data called mine.csv" in call("submit", file, status=2)
    assert "mine is" in call("submit", file, "--upload")
    assert call("wait", "mine") == "mine finished: 2 trials\n"
    local = lambda *arguments: kerastudy(*arguments, "--home", service.home, cwd=tmp_path).stdout  # noqa: E731
    assert call("trials", "mine") == local("trials", "mine")
    assert call("best", "mine") == local("best", "mine")
    assert call("logs", "mine") == local("logs", "mine")
    assert json.loads(call("trials", "mine", "--json")) == json.loads(local("trials", "mine", "--json"))
    assert "mine is finished: there is nothing to pause" in call("pause", "mine", status=2)
    assert "no trial 99" in call("export", "mine", "--trial", "99", "--to", "out", status=2)
    assert "decisions equal on 100.0%" in call("export", "mine", "--to", "out")
    assert (tmp_path / "out" / "model.keras").exists()
    assert "exists already" in call("export", "mine", "--to", "out", status=2)
    best = json.loads(call("best", "mine", "--json"))["trial"]["number"]
    assert call("promote", "mine") == f"version 1 (trial {best} of study mine) holds models:/mine@champion already\n"
    assert "alias: expected an alias" in call("promote", "mine", "--alias", "../x", status=2)
    other = kerastudy("promote", "mine", "--trial", str(1 - best), "--json", cwd=tmp_path, **here)
    said = json.loads(other.stdout)
    assert (said["comparison"]["part"], other.returncode) == ("test", 0 if said["is_promoted"] else 1)
    token = call("token", "create", "eve", "--scope", "read").strip()
    assert token.startswith("ks_")
    assert "eve" in call("token", "list")
    call("token", "remove", "eve")
    stored.chmod(0o644)
    assert "others can read" in call("list", status=2)


def test_sigterm_puts_studies_back(service):
    """It ends well, its studies wait in the queue, and the next start goes on with them."""
    service.submit(study_text("long", trials=3, epochs=400))
    service.wait("long", "running")
    assert service.end() == 0
    with Store.open(service.home) as store:
        assert StudyQueue(store).get("long").state == "queued"
    service.start()
    service.wait("long", "running")
    assert service.client.post("/v1/studies/long:pause").json()["state"] == "parked"
    assert service.client.post("/v1/studies/long:cancel").json()["state"] == "cancelled"


def test_a_home_is_served_once(service):
    """A second service on it would begin the same studies."""
    done = kerastudy("--home", service.home, "serve", "--port", str(free_port()), cwd=service.folder)
    assert (done.returncode, "is served already, by process" in done.stderr) == (1, True)


def test_data_that_cannot_be_used_fails_the_study(service):
    """Nobody could know before it was read; the reason is the study's, and its name is free again."""
    text = study_text("broken").replace("target: bought", "target: sold")
    service.submit(text)
    assert service.wait("broken", "failed", "finished") == "failed"
    reason = service.client.get("/v1/studies/broken").json()["reason"]
    assert "sold" in reason
    service.submit(text.replace("sold", "bought"))
    assert service.wait("broken", "failed", "finished") == "finished"


# MLflow's UI --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    """A service that runs MLflow's UI too, with one finished study that MLflow knows of."""
    running = Service(tmp_path_factory.mktemp("watched"), mlflow=True)
    running.submit(study_text("seen", trials=1, epochs=1))
    running.wait("seen", "finished")
    deadline = time.monotonic() + 60
    while running.client.get("/v1/studies/seen").json()["waiting_for_mlflow"]:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    yield running
    running.end()
    assert "Traceback" not in running.output.read_text()


def test_a_study_has_an_address_in_mlflow(watched, tmp_path):
    """It leads whoever has a token to the study's leaderboard, wherever MLflow is."""
    page = watched.client.get("/v1/studies/seen").json()["page"]
    assert page == "/mlflow/studies/seen"
    here = {"KERASTUDY_URL": watched.url, "KERASTUDY_TOKEN": watched.token}
    assert f"{watched.url}{page}: up to date" in kerastudy("show", "seen", cwd=tmp_path, **here).stdout
    led = watched.client.get(page)
    assert (led.status_code, led.headers["location"].split("?")[0]) == (307, "/mlflow/#/experiments/1/runs")
    assert "viewStateShareKey=" in led.headers["location"]
    unknown = watched.client.get("/mlflow/studies/sean")
    assert (unknown.status_code, 'did you mean "seen"' in unknown.json()["detail"]) == (404, True)
    assert httpx.get(f"{watched.url}{page}").status_code == 401
    with Store.open(watched.home) as store:
        StudyQueue(store).enqueue("untold", StudyQueue(store).get("seen").document.replace("seen", "untold"), "x:y")
    assert "not told of untold yet" in watched.client.get("/mlflow/studies/untold").json()["detail"]


@needs_browser
def test_a_browser_shows_mlflow_behind_the_services_tokens(watched, tmp_path):
    """A person who gives a token as password when the browser asks sees the study's trials."""
    with browsing(tmp_path, "anybody", watched.token) as browser:
        address, shown = browser.seen(f"{watched.url}/mlflow/studies/seen", wanted="seen-t000")
    assert address.startswith(f"{watched.url}/mlflow/#/experiments/1/runs?viewStateShareKey=")
    assert "Leaderboard seen" in shown
    assert "seen-t000" in shown
