"""Everything that MLflow shows of a study, for comparisons: equal pictures look the same to a person."""

from __future__ import annotations

from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Run


def list_runs(client: MlflowClient, experiment: str) -> tuple[Run, dict[int, Run]]:
    """Return the one parent in an experiment and its children by number."""
    known = client.get_experiment_by_name(experiment)
    assert known is not None
    found = client.search_runs([known.experiment_id], max_results=1000)
    parents = [run for run in found if "mlflow.parentRunId" not in run.data.tags]
    assert len(parents) == 1, "the study has one run"
    of_trials = [run for run in found if run.data.tags.get("mlflow.parentRunId") == parents[0].info.run_id]
    children = {int(run.data.tags["number"]): run for run in of_trials}
    assert len(children) == len(of_trials), "each trial has one run"
    return parents[0], dict(sorted(children.items()))


def list_retraining_runs(client: MlflowClient, experiment: str) -> list[Run]:
    """Return the runs of retrainings in an experiment, by name; each is a child of its trial's run."""
    known = client.get_experiment_by_name(experiment)
    assert known is not None
    found = client.search_runs([known.experiment_id], "tags.`kerastudy.kind` = 'retraining'", max_results=1000)
    return sorted(found, key=lambda run: str(run.info.run_name))


def read_picture(client: MlflowClient, experiment: str) -> Any:
    """Return all that MLflow shows of the one study in an experiment."""
    parent, children = list_runs(client, experiment)
    shown = {}
    for run in (parent, *children.values(), *list_retraining_runs(client, experiment)):
        histories = {key: points(client, run, key) for key in run.data.metrics}
        artifacts = sorted(_files(client, run.info.run_id))
        datasets = [(entry.dataset.name, entry.dataset.digest) for entry in run.inputs.dataset_inputs]
        models = [output.model_id for output in run.outputs.model_outputs] if run.outputs else []
        shown[run.info.run_name] = (
            run.info.run_id, run.info.status, run.info.start_time, run.info.end_time,
            run.data.params, run.data.tags, histories, artifacts, datasets, models,
        )  # fmt: skip
    known = client.get_experiment(parent.info.experiment_id)
    models = sorted(
        (
            model.name,
            model.status.name,
            model.params,
            sorted((metric.key, metric.value, metric.step, metric.timestamp) for metric in model.metrics),
        )
        for model in client.search_logged_models([known.experiment_id])
    )
    versions = sorted(
        (version.name, version.version, version.run_id, version.source, version.tags, tuple(version.aliases))
        for run in children.values()
        for version in client.search_model_versions(f"run_id = '{run.info.run_id}'")
    )
    return shown, known.tags, models, versions


def drop_ids(picture: Any, *, times: bool = True) -> Any:
    """Return a picture without the parts that differ between two MLflows; start and end `times` may differ too.

    The times of epochs never do.
    """
    runs, _, models, versions = picture
    return (
        {
            name: (
                status,
                (started, ended) if times else None,
                params,
                _plain(tags),
                {
                    key: points if times or not _is_of_the_end(key) else [(step, value) for step, _, value in points]
                    for key, points in histories.items()
                },
                artifacts,
                datasets,
                len(logged),
            )
            for name, (_, status, started, ended, params, tags, histories, artifacts, datasets, logged) in runs.items()
        },
        [(*named, [metric if times else metric[:3] for metric in metrics]) for *named, metrics in models],
        [(version, _plain(tags), aliases) for _, version, _, _, tags, aliases in versions],
    )


def _plain(tags: dict[str, str]) -> dict[str, str]:
    """Return tags without those that hold identifiers or links."""
    of_one = ("mlflow.parentRunId", "kerastudy.key")
    return {key: value for key, value in tags.items() if key not in of_one and "/" not in value}


def _is_of_the_end(metric: str) -> bool:
    return metric.startswith(("best_", "test_", "curves/best_so_far"))


def points(client: MlflowClient, run: Run, key: str) -> list[tuple[int, int, float]]:
    """Return a metric's points in order: step, time, value."""
    return sorted(
        (point.step, point.timestamp, point.value) for point in client.get_metric_history(run.info.run_id, key)
    )


def _files(client: MlflowClient, run_id: str, folder: str | None = None) -> list[str]:
    found = []
    for item in client.list_artifacts(run_id, folder):
        found += _files(client, run_id, item.path) if item.is_dir else [item.path]
    return found
