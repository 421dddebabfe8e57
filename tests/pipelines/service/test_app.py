"""The HTTP API over a real store: its answers, its permissions, and refusals that leave nothing behind."""

from __future__ import annotations

import json
import threading
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

import pytest
from served import study_text

from pipelines.operations.promote import PromotionResult
from pipelines.service import model_service
from pipelines.supervisor.event_log import record_events
from pipelines.supervisor.events import StudyEnded, TrialBegan
from search_spaces.errors import KerastudyError
from tracking.store.study_queue import StudyQueue, identify_process
from tracking.store.submissions import Submissions


def submit(service, who, text, **more):
    return service.client.post("/v1/studies", content=text, headers={**who, **more.pop("headers", {})}, **more)


@pytest.fixture
def ann(service):
    return service.token("ann")


@pytest.fixture
def bob(service):
    return service.token("bob")


@pytest.fixture
def admin(service):
    return service.token("root", "admin")


@pytest.fixture
def reader(service):
    return service.token("eve", "read")


def detail(answer, status):
    """Return a problem detail, having made sure that it is one."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    found = answer.json()
    assert found["status"] == status
    assert found["title"]
    assert found["detail"]
    return found


# Submitting --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["application/yaml", "application/json", "text/plain"])
def test_a_study_that_was_accepted_is_in_the_store(service, ann, kind):
    """YAML is JSON's superset, so the kind that a client claims decides nothing."""
    data = {"study": "s", "data": {"source": "sklearn:digits"}, "model": "cnn"}
    text = study_text() if kind != "application/json" else json.dumps(data)
    answer = submit(service, ann, text, headers={"Content-Type": kind})
    assert (answer.status_code, answer.json()) == (202, {"study": "s", "is_new": True})
    assert service.client.get(answer.headers["location"], headers=ann).json()["state"] == "queued"
    assert StudyQueue(service.store).get("s").state == "queued"
    assert Submissions(service.store).find("s").submitter == "ann"


def test_the_same_study_again_is_the_same(service, ann):
    """A client that got no answer sends the request again."""
    assert submit(service, ann, study_text()).json()["is_new"]
    assert submit(service, ann, study_text()).json() == {"study": "s", "is_new": False}


def test_fifty_at_once_are_one(service, ann):
    """Whoever is first, there is one study, and one answer has it as new."""
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: submit(service, ann, study_text()), range(50)))
    assert {answer.status_code for answer in answers} == {202}
    assert [answer.json()["is_new"] for answer in answers].count(True) == 1
    assert [each.name for each in StudyQueue(service.store).list()] == ["s"]


def test_an_idempotency_key_stands_for_one_request(service, ann, bob):
    """The same again gets the same study; something else under it is a conflict; another's key is another's."""
    key = {"Idempotency-Key": "k-1"}
    assert submit(service, ann, study_text(), headers=key).json()["is_new"]
    assert submit(service, ann, study_text(), headers=key).json() == {"study": "s", "is_new": False}
    detail(submit(service, ann, study_text("t"), headers=key), 409)
    assert submit(service, bob, study_text("t"), headers=key).status_code == 202


def test_another_study_of_that_name_is_a_conflict(service, ann, bob, admin):
    """The same name for something else, or for somebody else's, is refused; nothing has changed."""
    submit(service, ann, study_text())
    before = StudyQueue(service.store).get("s")
    other = study_text().replace("mlp", "cnn")
    assert "exists already with another" in detail(submit(service, ann, other), 409)["detail"]
    assert "a study of ann" in detail(submit(service, bob, study_text()), 409)["detail"]
    assert StudyQueue(service.store).get("s") == before
    assert submit(service, admin, study_text()).status_code == 202


def test_more_budget_puts_a_finished_study_back(service, ann):
    """It goes on with the trials that it has."""
    submit(service, ann, study_text())
    queue = StudyQueue(service.store)
    queue.amend("s", queue.get("s").document, queue.get("s").digest + "ab")
    queue.set_state("s", "finished")
    assert submit(service, ann, study_text()).json() == {"study": "s", "is_new": False}
    assert queue.get("s").state == "finished"
    assert submit(service, ann, study_text(trials=9)).json() == {"study": "s", "is_new": True}
    assert queue.get("s").state == "queued"


def test_one_that_failed_before_it_began_makes_room(service, ann):
    """Its corrected file can be submitted under the same name."""
    submit(service, ann, study_text())
    StudyQueue(service.store).set_state("s", "failed", "no such column")
    mended = study_text().replace("mlp", "cnn")
    assert submit(service, ann, mended).json()["is_new"]
    assert StudyQueue(service.store).get("s").state == "queued"


@pytest.mark.parametrize(
    ("text", "line", "column", "wrong"),
    [
        ("study: s\ndata: {source: a.csv}\nmodel: mlpx\n", 3, 8, "mlp"),
        ("study: s\ndata: {source: ../b.csv}\nmodel: mlp\n", 2, 16, "no data called"),
        ("study: s\ndata: {source: a.csv}\nmodel: mlp\nbudgt: 3\n", 4, 1, "budget"),
        ("study: s\n  data: [\n", 2, 7, ""),
        ("study: s\ndata: {source: 'https://x/y.csv'}\nmodel: mlp\n", 2, 16, "address"),
    ],
)
def test_a_wrong_file_is_refused_with_its_places(service, ann, text, line, column, wrong):
    """As on the command line: file, line, column; and nothing is stored."""
    found = detail(submit(service, ann, text, params={"file": "mine.yaml"}), 422)
    [first, *_] = found["errors"]
    assert (first["file"], first["line"], first["column"]) == ("mine.yaml", line, column)
    assert wrong in first["message"]
    assert StudyQueue(service.store).list() == ()
    assert Submissions(service.store).list() == ()


@pytest.mark.parametrize("body", [b"", b"\xff\xfe", b"null", b"[]", b"a: &x [*x]", b"[" * 100_000, b"\x00"])
def test_what_is_no_study_file_is_refused(service, ann, body):
    """Whatever bytes come, the answer is about them."""
    detail(submit(service, ann, body), 422)


def test_a_reader_submits_nothing(service, reader):
    """The answer names its scope."""
    assert "scope read" in detail(submit(service, reader, study_text()), 403)["detail"]
    detail(service.client.put("/v1/uploads/a.csv", content=b"x", headers=reader), 403)


# Looking -----------------------------------------------------------------------------------------------------


def test_pages_hold_every_study_once(service, ann, bob):
    """Whatever their size, and with the chosen studies only."""
    names = [f"s{number:02d}" for number in range(7)]
    for number, name in enumerate(names):
        submit(service, bob if number % 3 == 0 else ann, study_text(name))
    StudyQueue(service.store).set_state("s05", "finished")

    def walk(**filters):
        found, after = [], None
        while True:
            page = service.client.get(
                "/v1/studies", params={**filters, **({"after": after} if after else {})}, headers=ann
            ).json()
            found += [each["name"] for each in page["studies"]]
            if (after := page["next"]) is None:
                return found

    assert walk() == walk(limit=1) == walk(limit=3) == walk(limit=7) == names
    assert walk(limit=1, submitter="bob") == ["s00", "s03", "s06"]
    assert walk(limit=2, state="finished") == ["s05"]
    assert walk(state="running") == []
    detail(service.client.get("/v1/studies", params={"after": "nope"}, headers=ann), 404)


def test_a_place_in_the_queue_is_shown(service, ann):
    """By priority, then by age; it is the order in which they would begin."""
    for name, priority in (("a", 0), ("b", 0), ("c", 5)):
        submit(service, ann, study_text(name), params={"priority": priority})
    shown = {name: service.client.get(f"/v1/studies/{name}", headers=ann).json()["place"] for name in "abc"}
    assert shown == {"c": 1, "a": 2, "b": 3}


def test_an_unknown_name_is_an_error(service, ann):
    """With the nearest name; a trial of a study that has none; the best of none."""
    submit(service, ann, study_text("digits"))
    said = detail(service.client.get("/v1/studies/digit", headers=ann), 404)["detail"]
    assert said.startswith('there is no study "digit" in this service; did you mean "digits"')
    detail(service.client.get("/v1/studies/digits/trials/0", headers=ann), 404)
    detail(service.client.get("/v1/studies/digits/best", headers=ann), 409)
    detail(service.client.post("/v1/studies/digits:export", headers=ann), 409)
    detail(service.client.post("/v1/studies/digits:promote", headers=ann), 409)
    wrong = service.client.post("/v1/studies/digits:promote", params={"alias": "../x"}, headers=ann)
    assert detail(wrong, 422)["detail"].startswith("alias: expected an alias of up to 100 letters")
    detail(service.client.get("/v1/nothing", headers=ann), 404)
    detail(service.client.put("/v1/studies", headers=ann), 405)
    assert service.client.get("/v1/studies/digits/trials", headers=ann).json() == {"trials": [], "next": None}


def test_a_promotion_that_was_not_earned_is_an_answer(service, ann, monkeypatch):
    """A worse model gives status 200 and a reason; an MLflow that does not answer, an error."""
    submit(service, ann, study_text())
    result = PromotionResult("s", 3, "s", "champion", False, "", "version 1", None, "not promoted: it is worse")
    monkeypatch.setattr(model_service.StudyReader, "find_complete_trial", lambda *_: 3)
    monkeypatch.setattr(model_service, "promote_trial", lambda *_, **options: result)
    answered = service.client.post("/v1/studies/s:promote", params={"force": "true"}, headers=ann)
    assert (answered.status_code, answered.json()["is_promoted"]) == (200, False)

    def fail(*_, **options):
        raise KerastudyError("MLflow does not answer")

    monkeypatch.setattr(model_service, "promote_trial", fail)
    assert detail(service.client.post("/v1/studies/s:promote", headers=ann), 503)["detail"] == "MLflow does not answer"


def test_a_third_export_at_once_is_refused(service, ann, monkeypatch):
    """Each takes the memory of a model or two; the first two are not disturbed."""
    submit(service, ann, study_text())
    monkeypatch.setattr(model_service.StudyReader, "find_complete_trial", lambda *_: 0)
    with service.models._acquire_slot(), service.models._acquire_slot():
        detail(service.client.post("/v1/studies/s:export", headers=ann), 413)


def test_an_export_is_downloaded_as_an_archive(service, ann, monkeypatch):
    """It holds the files below a folder of the trial's name, and nothing of it stays on the service."""
    submit(service, ann, study_text())
    folders = []

    def write(home, study, trial, formats, folder, **options):
        folders.append(folder)
        (folder / "saved_model").mkdir(parents=True)
        (folder / "saved_model" / "model.pb").write_bytes(b"model")

    monkeypatch.setattr(model_service.StudyReader, "find_complete_trial", lambda *_: 3)
    monkeypatch.setattr(model_service, "export_study", write)
    answer = service.client.post("/v1/studies/s:export", params={"format": "saved_model"}, headers=ann)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/zip")
    with zipfile.ZipFile(BytesIO(answer.content)) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == {"s-t003/saved_model/model.pb": b"model"}
    [folder] = folders
    deadline = time.monotonic() + 30
    while folder.parent.exists():  # it is removed after the answer
        assert time.monotonic() < deadline
        time.sleep(0.02)


# Controls ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["pause", "stop", "cancel", "resume", "promote"])
def test_a_study_is_its_submitters_to_control(service, ann, bob, reader, verb):
    """Others are refused, an admin is not, and a reader may not even with its own name."""
    submit(service, ann, study_text())
    for other in (bob, reader):
        detail(service.client.post(f"/v1/studies/s:{verb}", headers=other), 403)
    assert StudyQueue(service.store).get("s").state == "queued"


def test_a_waiting_study_is_paused_resumed_and_cancelled(service, ann, admin):
    """No process works on it, so it happens at once."""
    submit(service, ann, study_text())
    said = [service.client.post(f"/v1/studies/s:{verb}", headers=ann).json() for verb in ("pause", "resume", "cancel")]
    assert [each["state"] for each in said] == ["paused", "queued", "cancelled"]
    for verb in ("pause", "resume", "cancel"):
        detail(service.client.post(f"/v1/studies/s:{verb}", headers=admin), 409)
    detail(submit(service, ann, study_text()), 409)


def test_the_process_of_a_study_gets_the_request(service, ann):
    """The answer comes when it was done."""
    submit(service, ann, study_text())
    queue = StudyQueue(service.store)
    lease = queue.claim("s", identify_process(), 60)
    queue.set_state("s", "running")

    def supervise():
        while queue.find_control_request("s") is None:
            pass
        queue.set_state("s", "paused", "as requested")
        queue.release(lease)

    working = threading.Thread(target=supervise)
    working.start()
    assert service.client.post("/v1/studies/s:pause", headers=ann).json()["state"] == "paused"
    working.join()


# Streams -----------------------------------------------------------------------------------------------------


def events_of(answer):
    """Return the events of a stream: identifier, name, data."""
    found = []
    for block in answer.text.strip().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if fields:
            found.append((int(fields["id"]), fields["event"], json.loads(fields["data"])))
    return found


def test_events_come_in_order_and_go_on_after_an_id(service, ann):
    """The stream of a study that is over ends with its end; `Last-Event-ID` takes up a broken one."""
    submit(service, ann, study_text())
    end = StudyEnded("s", "finished", "done", "val_loss", 0, 0.5, {}, {"complete": 1}, 1.0, 0, "")
    list(record_events(service.home, "s", [TrialBegan(0, {}), TrialBegan(1, {}), end]))
    StudyQueue(service.store).set_state("s", "finished")
    whole = events_of(service.client.get("/v1/studies/s/events", headers=ann))
    assert [(kind, data.get("number")) for _, kind, data in whole] == [
        ("trial-began", 0),
        ("trial-began", 1),
        ("study-ended", None),
    ]
    rest = service.client.get("/v1/studies/s/events", headers={**ann, "Last-Event-ID": str(whole[0][0])})
    assert events_of(rest) == whole[1:]
    log = service.client.get("/v1/studies/s/logs", params={"follow": True}, headers=ann)
    assert log.text.endswith("s finished: done\n")
    detail(service.client.get("/v1/studies/nope/events", headers=ann), 404)
    detail(service.client.get("/v1/studies/nope/logs", headers=ann), 404)


# Uploads -----------------------------------------------------------------------------------------------------


def test_an_uploaded_file_can_be_named(service, ann):
    """By the name in the answer; the same content is one file; too much, too large and the wrong kind are refused."""
    put = lambda name, content: service.client.put(f"/v1/uploads/{name}", content=content, headers=ann)  # noqa: E731
    first = put("a.csv", b"x,y\n1,2\n")
    assert first.status_code == 201
    assert put("other.csv", b"x,y\n1,2\n").json() == first.json()
    text = study_text().replace("sklearn:breast_cancer", first.json()["source"])
    assert submit(service, ann, text).status_code == 202
    detail(put("a.exe", b"x"), 422)
    detail(put("a.csv", b""), 422)
    detail(put("big.csv", b"x" * 1001), 413)
    assert put("b.csv", b"x" * 1000).status_code == 201
    assert "would be too large" in detail(put("c.csv", b"z" * 900), 413)["detail"]
    kept = sorted(path.name for path in (service.home.folder / "uploads").iterdir())
    assert len(kept) == 2


def test_uploads_are_off_unless_allowed(tmp_path):
    """The operator has to allow them."""
    from served import run_service

    with run_service(tmp_path) as running:
        detail(running.client.put("/v1/uploads/a.csv", content=b"x", headers=running.token("ann")), 403)


# Tokens and upkeep -------------------------------------------------------------------------------------------


def test_tokens_are_an_admins_matter(service, admin, ann):
    """Made, listed without secrets, removed; whoever is not an admin is refused."""
    made = service.client.post("/v1/tokens", json={"name": "new", "running_trials": 2}, headers=admin)
    assert made.status_code == 201
    new = {"Authorization": f"Bearer {made.json()['token']}"}
    assert service.client.get("/v1/me", headers=new).json()["running_trials"] == 2
    listed = service.client.get("/v1/tokens", headers=admin)
    assert {each["name"] for each in listed.json()} == {"root", "ann", "new"}
    assert made.json()["token"].rpartition("_")[2] not in listed.text
    assert service.client.delete("/v1/tokens/new", headers=admin).status_code == 204
    detail(service.client.get("/v1/me", headers=new), 401)
    detail(service.client.delete("/v1/tokens/new", headers=admin), 404)
    detail(service.client.post("/v1/tokens", json={"name": "ann"}, headers=admin), 409)
    for method, path in (("GET", "/v1/tokens"), ("DELETE", "/v1/tokens/root")):
        detail(service.client.request(method, path, headers=ann), 403)
    detail(service.client.post("/v1/tokens", json={"name": "x"}, headers=ann), 403)


def test_health_needs_no_token_and_metrics_do(service, reader):
    """Counts are of the store."""
    assert service.client.get("/healthz").json()["status"] == "ok"
    detail(service.client.get("/metrics"), 401)
    submit(service, service.token("ann"), study_text())
    assert 'kerastudy_studies{state="queued"} 1.0' in service.client.get("/metrics", headers=reader).text


def test_a_defect_is_no_secret_and_no_traceback(service, ann, monkeypatch):
    """A client learns that it is a defect, and no details."""
    monkeypatch.setattr(type(service.study_service), "load_study", lambda self, name: 1 / 0)
    found = detail(service.client.get("/v1/studies/s", headers=ann), 500)
    assert "ZeroDivision" not in json.dumps(found)


# Registered models -------------------------------------------------------------------------------------------


def register(name, under):
    return study_text(name) + f"export: {{register: {under}}}\n"


def test_a_registered_models_name_belongs_to_its_first_submitter(service, ann, bob, admin):
    """Another submitter can neither name it nor call a study by it; nothing is stored; its owner and admins can."""
    assert submit(service, ann, register("a", "house-prices")).status_code == 202
    refused = detail(submit(service, bob, register("b", "house-prices")), 409)
    assert "a registered model of ann" in refused["detail"]
    assert refused["errors"][0]["line"] == 5
    assert "set export.register" in detail(submit(service, bob, study_text("house-prices")), 409)["detail"]
    assert [each.name for each in StudyQueue(service.store).list()] == ["a"]
    assert submit(service, ann, register("c", "house-prices")).status_code == 202
    assert submit(service, admin, register("d", "house-prices")).status_code == 202


def test_a_refused_submission_claims_no_name(service, ann, bob):
    """A file that is refused leaves its names to others."""
    submit(service, ann, study_text("a"))
    detail(submit(service, bob, register("a", "fresh")), 409)
    assert submit(service, ann, register("b", "fresh")).status_code == 202


@pytest.mark.parametrize("force", ["true", "false"])
def test_nobody_promotes_over_anothers_model(service, ann, bob, admin, force):
    """A study that an admin let register under another's name is not promoted there by its own submitter."""
    submit(service, ann, register("a", "house-prices"))
    submit(service, bob, study_text("b"))
    queue = StudyQueue(service.store)
    document = json.loads(queue.get("b").document) | {"export": {"register": "house-prices"}}
    queue.amend("b", json.dumps(document), queue.get("b").digest)
    answer = service.client.post("/v1/studies/b:promote", params={"force": force}, headers=bob)
    assert "a registered model of ann" in detail(answer, 403)["detail"]
