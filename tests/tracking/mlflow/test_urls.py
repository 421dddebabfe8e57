"""Addresses of MLflow and of its pages."""

import pytest

from tracking.mlflow import urls


def test_the_environment_decides(tmp_path):
    """MLFLOW_TRACKING_URI is honoured; otherwise it is a file under the home, with the artifacts next to it."""
    server = {"MLFLOW_TRACKING_URI": "http://mlflow:5000"}
    assert urls.resolve_tracking_uri(tmp_path, server) == "http://mlflow:5000"
    assert urls.resolve_artifact_root(tmp_path, server) is None
    database = {"MLFLOW_TRACKING_URI": "sqlite:////elsewhere/mlflow.db"}
    assert urls.resolve_artifact_root(tmp_path, database) == (tmp_path / "mlartifacts").as_uri()
    for environ in ({}, {"MLFLOW_TRACKING_URI": "  "}):
        assert urls.resolve_tracking_uri(tmp_path, environ) == f"sqlite:///{tmp_path}/mlflow.db"
        assert urls.resolve_artifact_root(tmp_path, environ) == (tmp_path / "mlartifacts").as_uri()


@pytest.mark.parametrize(
    "address",
    [
        urls.make_leaderboard_url("http://h:1", "7", urls.make_view_id("a")),
        urls.make_experiment_url("http://h:1", "7"),
        urls.make_run_url("http://h:1/", "7", "r"),
        urls.make_models_url("http://h:1", "7"),
        urls.make_registered_model_url("http://h:1", "a name"),
        urls.make_registered_model_url("http://h:1", "a name", "3"),
    ],
)
def test_every_page_opens_for_model_training(address):
    """Each address states which of MLflow's two modes it is for, after the hash, where the page reads it."""
    start, _, route = address.partition("#")
    assert start == "http://h:1/"
    assert route.partition("?")[2].split("&")[-1] == "workflowType=machine_learning"


def test_links_within_mlflow_need_no_host():
    """A link in a note is relative to the page that shows it."""
    assert urls.make_run_url("", "7", "r").startswith("#/experiments/7/runs/r?")
