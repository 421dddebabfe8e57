"""Pages of MLflow that show a study."""

from projected import deliver, list_runs, uri

from tracking.mlflow.study_pages import list_study_pages


def test_each_study_has_its_pages(projection, client, home, name, a_study):
    """A study is listed once, with its parent run; its trials are not."""
    deliver(projection, a_study(name))
    parent, _ = list_runs(client, name)
    [page] = list_study_pages(uri(home), "http://there")
    assert page.study == name
    assert page.run.startswith(f"http://there/#/experiments/{parent.info.experiment_id}/runs/{parent.info.run_id}?")
    assert page.leaderboard.startswith(
        f"http://there/#/experiments/{parent.info.experiment_id}/runs?viewStateShareKey="
    )


def test_an_empty_mlflow_has_no_pages(tmp_path):
    """A database that is created by the request has no study."""
    assert list_study_pages(uri(tmp_path), "") == ()
