"""Routes of models: an export is an archive, and a promotion that was not earned is no error."""

from __future__ import annotations

import time
import zipfile
from io import BytesIO

from served import detail, study_text, submit

from pipelines.operations.promote import PromotionResult
from pipelines.service.studies import model_service
from search_spaces.errors import KerastudyError
from tracking.store.accounts import Identity
from tracking.store.tokens import Tokens


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
    """Each takes the memory of a model or two; the first two are not disturbed, and the answer says when to return."""
    submit(service, ann, study_text())
    monkeypatch.setattr(model_service.StudyReader, "find_complete_trial", lambda *_: 0)
    slots = service.models._slots
    with slots.acquire(Identity("1", "bob", "read")), slots.acquire(Identity("2", "eve", "read")):
        answer = service.client.post("/v1/studies/s:export", headers=ann)
        detail(answer, 503)
        assert int(answer.headers["Retry-After"]) > 0


def test_a_second_export_of_one_account_is_its_own_to_wait_for(service, ann, monkeypatch):
    """It is refused as too many requests of this caller."""
    submit(service, ann, study_text())
    monkeypatch.setattr(model_service.StudyReader, "find_complete_trial", lambda *_: 0)
    caller = Tokens(service.store).check(ann["Authorization"].removeprefix("Bearer "))
    with service.models._slots.acquire(caller):
        answer = service.client.post("/v1/studies/s:export", headers=ann)
        assert "ceilings.exports" in detail(answer, 429)["detail"]
        assert int(answer.headers["Retry-After"]) > 0


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
    deadline = time.monotonic() + 120
    while folder.parent.exists():  # it is removed after the answer
        assert time.monotonic() < deadline
        time.sleep(0.02)
