"""Predictions over HTTP: what is sent, what is refused, and what comes back; the model itself is left out here."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import httpx
import pytest
from served import detail, run_service, study_text, submit

from pipelines.client.http import HttpClient
from pipelines.engines.base import Failed, Job
from pipelines.engines.run_job import JobError
from pipelines.export.jobs import PREDICT_ROWS, PredictionJob
from pipelines.operations.predict import Predictions
from pipelines.service.studies import model_service
from pipelines.spec.data_spec import DataSpec
from pipelines.training.messages import PastTrial
from search_spaces.errors import InputError
from tracking.store.tokens import Tokens

ROWS = b"x\n1\n2\n"
PATH = "/v1/studies/s:predict"


@pytest.fixture
def predicted(service, ann, monkeypatch):
    """Let a study of ann's predict ones; return the files that were predicted, with their rows."""
    submit(service, ann, study_text())
    found = []

    def predict(home, study, file, target, *, trial, open_engine, is_sent):
        assert is_sent
        with open_engine(PredictionJob(PastTrial("t", "d"), DataSpec(source="x.csv"), "", "")) as engine:
            found.append((file, file.read_bytes(), engine))
        target.write_text("x,y,sure\n1,1,0.5\n2,1,0.5\n")
        notes = ("decimal commas \u2013 read as such", f"read from {home.folder}/x")
        return Predictions(study, trial or 7, str(target), 2, ("y", "sure"), notes)

    monkeypatch.setattr(model_service.StudyReader, "find_complete_trial", lambda *_: 7)
    monkeypatch.setattr(model_service, "predict_file", predict)
    return found


def client_of(service, token):
    return HttpClient(f"http://127.0.0.1:{service.port}", token["Authorization"].removeprefix("Bearer "))


def test_rows_come_back_with_their_predictions(service, reader, predicted, tmp_path):
    """Whoever may read may predict; trial, columns and notes arrive, and nothing stays on the service."""
    (tmp_path / "new.csv").write_bytes(ROWS)
    with client_of(service, reader) as client:
        done = client.predict("s", tmp_path / "new.csv", tmp_path / "out.csv", 3)
        notes = ("decimal commas \u2013 read as such", "read from HOME/x")
        assert done == Predictions("s", 3, str(tmp_path / "out.csv"), 2, ("y", "sure"), notes)
        assert (tmp_path / "out.csv").read_text() == "x,y,sure\n1,1,0.5\n2,1,0.5\n"
        assert client.predict("s", tmp_path / "new.csv", tmp_path / "best.csv", None).trial == 7
        with pytest.raises(InputError, match="exists; choose another name"):
            client.predict("s", tmp_path / "new.csv", tmp_path / "out.csv", None)
    [(file, sent, _), _] = predicted
    assert (file.name, sent) == ("new.csv", ROWS)
    deadline = time.monotonic() + 30
    while file.parent.exists():  # it is removed after the answer
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert sorted(path.name for path in tmp_path.glob("*.csv")) == ["best.csv", "new.csv", "out.csv"]


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("../../../etc/x.csv", "x.csv"),
        ("a b;\u00e9.tsv.gz", "a_b.tsv.gz"),
        ("__.csv", "rows.csv"),
        ("r.out.csv", "r_out.csv"),
    ],
)
def test_a_name_becomes_a_safe_one(service, ann, predicted, name, kept):
    """No folder of it counts, and it cannot be that of the file with the predictions."""
    assert service.client.post(PATH, params={"file": name}, content=ROWS, headers=ann).status_code == 200
    assert predicted[0][0].name == kept


@pytest.mark.parametrize(
    ("params", "content", "status", "hint"),
    [
        ({"file": "a.exe"}, ROWS, 422, "expected the name of a table"),
        ({}, b"", 422, "the body is empty"),
        ({}, b"x" * 1001, 413, "1,000 bytes"),
        ({"trials": "1"}, ROWS, 422, 'did you mean "trial"'),
    ],
)
def test_what_is_no_table_is_refused(service, ann, predicted, params, content, status, hint):
    """The model is not loaded, and no file is left."""
    assert hint in detail(service.client.post(PATH, params=params, content=content, headers=ann), status)["detail"]
    assert predicted == []


def test_rows_without_a_length_are_counted(service, ann, predicted):
    """A body in parts is refused once it is too large."""
    answer = service.client.post(PATH, content=(b"x" * 600 for _ in range(2)), headers=ann)
    detail(answer, 413)
    assert predicted == []


def test_a_service_without_uploads_takes_no_rows(tmp_path, predicted):
    """The operator has not allowed files; the answer names the key, and how to predict without it."""
    with run_service(tmp_path / "other") as service:
        token = service.token("ann")
        submit(service, token, study_text())
        answer = service.client.post(PATH, content=ROWS, headers=token)
        found = detail(answer, 403)["detail"]
    assert "`uploads`" in found and "kerastudy export s" in found
    assert predicted == []


def test_predictions_are_few_at_once(service, ann, predicted):
    """One account sends, and predicts, no more at once than it may."""
    caller = Tokens(service.store).check(ann["Authorization"].removeprefix("Bearer "))
    for slots in (service.models._sending, service.models._slots):
        with slots.acquire(caller):
            assert "ceilings.exports" in detail(service.client.post(PATH, content=ROWS, headers=ann), 429)["detail"]
    assert predicted == []
    assert service.client.post(PATH, content=ROWS, headers=ann).status_code == 200


def test_rows_that_take_too_much_memory_are_refused(service, ann, predicted, monkeypatch):
    """The worker ends at its limit, and the answer says what to do."""

    def exhaust(home, study, file, target, **options):
        raise JobError(Job("prediction", PREDICT_ROWS, None, Path("x.log")), Failed("prediction", "memory", "too much"))

    monkeypatch.setattr(model_service, "predict_file", exhaust)
    assert "send fewer rows" in detail(service.client.post(PATH, content=ROWS, headers=ann), 413)["detail"]


def test_the_worker_has_the_limits_of_the_operator(tmp_path, predicted, monkeypatch):
    """`memory` and `data_time` hold for rows that are sent, as they do for a study's data."""
    with run_service(tmp_path / "other", uploads=1000, memory="2GB", data_time="1m") as service:
        token = service.token("ann")
        submit(service, token, study_text())
        assert service.client.post(PATH, content=ROWS, headers=token).status_code == 200
    engine = predicted[0][2]
    assert (engine._memory_bytes, engine._limit_s) == (2 * 10**9, 60)


def test_notes_fit_their_header(service, ann, predicted, monkeypatch):
    """Servers in front of a service allow some kilobytes; how many notes were left out is one of them."""
    notes = tuple(f"note {number} {'x' * 300}" for number in range(40))

    def predict(home, study, file, target, **options):
        target.write_text("y\n1\n")
        return Predictions(study, 7, str(target), 1, ("y",), notes)

    monkeypatch.setattr(model_service, "predict_file", predict)
    shown = service.client.post(PATH, content=ROWS, headers=ann).headers["X-Kerastudy-Notes"]
    assert len(shown) <= 4000
    first, *_, last = json.loads(shown)
    assert first == notes[0]
    assert last.startswith(f"{40 - len(json.loads(shown)) + 1} more notes")


def test_the_work_ends_when_the_client_has_gone(service, ann, predicted, monkeypatch):
    """Its slot is free at once, and not at the time limit."""
    ended = threading.Event()

    def wait(home, study, file, target, *, open_engine, **options):
        with open_engine(PredictionJob(PastTrial("t", "d"), DataSpec(source="x.csv"), "", "")) as engine:
            try:
                while True:
                    engine.events(0.05)
            finally:
                ended.set()

    monkeypatch.setattr(model_service, "predict_file", wait)
    with pytest.raises(httpx.ReadTimeout):
        service.client.post(PATH, content=ROWS, headers=ann, timeout=0.5)
    assert ended.wait(300)
