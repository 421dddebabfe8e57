"""Answers name places as a study does, and not where they are on the machine."""

from __future__ import annotations

from pathlib import Path

import pytest
from served import study_text, submit

from pipelines.service.config import ServiceSpec
from pipelines.service.http.hidden_paths import HiddenPaths
from pipelines.workspace.home import Home


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("/srv/home/studies/a", "HOME/studies/a"),
        ("sqlite:////srv/home/mlflow.db", "sqlite:///HOME/mlflow.db"),
        ("there is no file /data/x/churn.csv", "there is no file churn.csv"),
        ("/srv/home/uploads/sub/b.csv", "HOME/uploads/sub/b.csv"),
        ("/code/churn.py:build", "churn.py:build"),
        ("/data/xy/churn.csv", "/data/xy/churn.csv"),
        ('"/data/x", /data/x.', '"data", data.'),
    ],
)
def test_places_have_names(written, shown):
    """The most exact one counts; another place with the same beginning is not changed."""
    spec = ServiceSpec(data=["/data/x"], code=["/code/churn.py:build"])
    assert HiddenPaths(Home(Path("/srv/home"), "/srv/home"), spec).hide(written.encode()).decode() == shown


def test_no_answer_shows_where_the_service_is(service, ann):
    """Neither a study, whose file names a source of the operator's, nor a refusal; heads fit their bodies."""
    text = study_text().replace("sklearn:breast_cancer", "a.csv")
    assert submit(service, ann, text).status_code == 202
    place = str(service.home.folder.parent)
    answers = [
        service.client.get("/v1/studies/s", headers=ann),
        service.client.get("/v1/studies", headers=ann),
        service.client.get("/v1/studies/s/best", headers=ann),
        service.client.post("/v1/studies/s:export", headers=ann),
        submit(service, ann, study_text("t").replace("sklearn:breast_cancer", "b.csv")),
    ]
    assert [place for answer in answers if place in answer.text] == []
    shown = answers[0].json()
    assert (shown["source"], shown["folder"]) == ("a.csv", "HOME/studies/s")
    assert int(answers[0].headers["content-length"]) == len(answers[0].content)
