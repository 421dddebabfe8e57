"""Routes of studies, trials and uploads: what is accepted is stored once, and a refusal leaves nothing behind."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from served import detail, run_service, study_text, submit

from tracking.store.study_queue import StudyQueue
from tracking.store.submissions import Submissions


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
    for name, priority in (("a", -5), ("b", -5), ("c", 0)):
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
    assert "would be too large" in detail(put("c.csv", b"z" * 900), 507)["detail"]
    kept = sorted(path.name for path in (service.home.folder / "uploads").iterdir())
    assert len(kept) == 2


def test_uploads_are_off_unless_allowed(tmp_path):
    """The operator has to allow them."""
    with run_service(tmp_path) as running:
        detail(running.client.put("/v1/uploads/a.csv", content=b"x", headers=running.token("ann")), 403)
