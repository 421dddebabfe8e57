"""Pages of MLflow's UI that show a study."""

from __future__ import annotations

from dataclasses import dataclass

from tracking.mlflow import shared_views, urls


@dataclass(frozen=True)
class StudyPage:
    """Addresses of one study in MLflow's UI: its leaderboard and its parent run."""

    study: str
    leaderboard: str
    run: str


def list_study_pages(tracking_uri: str, base: str) -> tuple[StudyPage, ...]:
    """Return the pages of each study in MLflow, newest first.

    Args:
        tracking_uri: see `tracking.mlflow.urls.resolve_tracking_uri`.
        base: MLflow's address in a browser, as `tracking.mlflow.server.serve` yields it.
    """
    # MLflow takes seconds to import.
    from tracking.mlflow.client import connect

    client = connect(tracking_uri)
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    if not experiments:
        return ()
    runs = client.search_runs(experiments, filter_string="tags.`kerastudy.kind` = 'study'", max_results=1000)
    found = []
    for run in runs:
        study, experiment_id = run.data.tags["kerastudy.study"], run.info.experiment_id
        leaderboard = urls.make_leaderboard_url(base, experiment_id, shared_views.make_leaderboard_view_id(study))
        found.append(StudyPage(study, leaderboard, urls.make_run_url(base, experiment_id, run.info.run_id)))
    return tuple(found)
