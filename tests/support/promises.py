"""Promises about a study that ended, whatever was killed, filled up or unreachable while it ran.

`broken_promises` looks at a home from outside: at the store, the files and MLflow. Every test of faults ends with it.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from pipelines.queries.record_reader import load_record
from pipelines.search.space_evolution import find_current_name
from pipelines.search.trial_summaries import (
    PAUSED,
    TrialSummary,
    count_by_state,
    find_best,
    rank_trials,
    summarize_trials,
)
from pipelines.selection.finalists import AUTO, ENSEMBLE, REFIT, list_retrainings, rank_finalists
from pipelines.selection.model_locations import is_refitted
from pipelines.selection.refit import COMPARED_TRAININGS, COMPARISON
from pipelines.study.objective import Objective
from pipelines.study.study import Study
from pipelines.training.messages import TrialResult
from pipelines.training.trial_folder import MODEL_FILE, read_epochs, read_result
from pipelines.workspace.home import Home
from tracking.mlflow import client as mlflow_connection
from tracking.mlflow import urls
from tracking.mlflow.formatting import CURVES, format_run_name
from tracking.outbox.outbox import Outbox
from tracking.store.database import Store
from tracking.store.retrainings import Retraining, Retrainings
from tracking.store.study_queue import StudyQueue, StudyRecord

_STATUS = {"complete": "FINISHED", "pruned": "FINISHED", "failed": "FAILED", "cancelled": "KILLED"}
_CLOSE = 2e-3


@dataclass(frozen=True)
class _EndedStudy:
    """A study that ended, as the store has it."""

    study: Study
    record: StudyRecord
    objective: Objective
    numbers: Sequence[int]
    trials: Sequence[TrialSummary]
    retrainings: Sequence[Retraining]
    home: Home
    paused_after: Mapping[int, int]
    """By number of each trial that was paused the epochs that it had trained then."""

    @property
    def name(self) -> str:
        return self.study.name

    @property
    def best(self) -> TrialSummary | None:
        """Return the winner: the best by retrainings, if there were any."""
        finalists = rank_finalists(self.trials, self.retrainings, self.study.spec.selection, self.objective)
        if finalists:
            return next(trial for trial in self.trials if trial.number == finalists[0].number)
        return find_best(self.trials, self.objective)

    @property
    def expected_retrainings(self) -> set[tuple[int, str]]:
        """Return the retrainings that must exist: of each finalist, those that compare a refit, and one that won."""
        selection = self.study.spec.selection
        # Those that `auto` chooses depend on the scores' noise; their retrainings may be there or not.
        count = 0 if selection.finalists == "auto" else selection.finalists
        finalists = rank_trials(self.trials, self.objective)[:count]
        expected = {(trial.number, name) for trial in finalists for name in list_retrainings(selection)}
        if selection.refit and self.best:
            expected |= {(self.best.number, training.name) for training in COMPARED_TRAININGS}
            won = (self.best.number, COMPARISON, "complete")
            ended = {(each.number, each.name, each.state) for each in self.retrainings}
            # A refit that does worse on its own rows than the trial on others has failed.
            if won in ended and (self.best.number, REFIT, "failed") not in ended:
                expected.add((self.best.number, REFIT))
        return expected

    def result(self, number: int) -> TrialResult | None:
        """Return the result that the worker wrote of a trial."""
        return read_result(self.home.locate_trial(self.name, number))


def find_broken_promises(
    folder: Path, *, store: str = "", tracking_uri: str = "", only: str = "", models: bool = True
) -> list[str]:
    """Return what is wrong with the finished studies of a home, a line each; nothing is where all promises were kept.

    Args:
        folder: the home.
        store: the store's address, where it is not in the home.
        tracking_uri: MLflow's address, where it is not in the home.
        only: the one study to look at.
        models: whether the best model is loaded and evaluated; loads TensorFlow.
    """
    home = Home(folder, store or str(folder))
    broken = []
    with Store.open(home.store) as opened:
        client = mlflow_connection.connect(tracking_uri or urls.make_home_tracking_uri(folder))
        records = [record for record in StudyQueue(opened).list() if only in ("", record.name)]
        if not records:
            broken.append("there is no study in the store")
        for record in records:
            ended = _read_study(record, home, opened)
            checks = [_check_store(ended, opened), _check_disk(ended), _check_promoted(ended)]
            checks.append(_check_mlflow(ended, client))
            if models:
                checks.append(_check_best_model(ended))
            broken += [f"{record.name}: {each}" for check in checks for each in check]
    return broken


def load_acknowledged(folder: Path, name: str, *, store: str = "") -> dict[int, tuple[str, float | None]]:
    """Return state and score of each trial that has ended, by its number: what must never be lost."""
    home = Home(folder, store or str(folder))
    if not home.is_initialized:
        return {}
    with Store.open(home.store) as opened:
        record = StudyQueue(opened).find(name)
        trials = () if record is None else _read_study(record, home, opened).trials
    return {trial.number: (trial.state, trial.value) for trial in trials if trial.has_ended}


def count_waiting_rows(folder: Path, name: str, *, store: str = "") -> int:
    """Return how many rows of a study have not arrived in MLflow."""
    with Store.open(store or folder) as opened:
        waiting = Outbox(opened).read_backlog(name)
    return waiting.pending + waiting.set_aside


def _read_study(record: StudyRecord, home: Home, store: Store) -> _EndedStudy:
    study = load_record(record)
    storage = store.open_optuna_storage()
    try:
        in_optuna = optuna.load_study(study_name=find_current_name(storage, study.name), storage=storage)
        numbers = [trial.number for trial in in_optuna.get_trials(deepcopy=False)]
        trials = summarize_trials(in_optuna)
        attrs = {trial.number: trial.user_attrs.get(PAUSED) for trial in in_optuna.get_trials(deepcopy=False)}
        paused_after = {number: paused["epochs"] for number, paused in attrs.items() if paused}
    except KeyError:
        numbers, trials, paused_after = [], (), {}
    finally:
        storage.engine.dispose()
    summary = home.locate_data(study.name) / "summary.json"
    task = json.loads(summary.read_text())["task"] if summary.exists() else {"kind": "regression", "is_weighted": False}
    objective = study.resolve_objective(task["kind"], is_weighted=task["is_weighted"])
    retrainings = Retrainings(store).list(study.name)
    return _EndedStudy(study, record, objective, numbers, trials, retrainings, home, paused_after)


def _check_store(ended: _EndedStudy, store: Store) -> Iterator[str]:
    record, trials = ended.record, ended.trials
    if record.state != "finished":
        yield f"its state is {record.state} ({record.reason}), not finished"
    if record.owner is not None:
        yield f"{record.owner} still holds it"
    if list(ended.numbers) != list(range(len(ended.numbers))):
        yield f"the numbers of its trials have gaps or repeats: {ended.numbers}"
    budget = ended.study.spec.budget.trials
    if len(trials) != budget:
        yield f"{len(trials)} trials, the budget is {budget}"
    if cut_off := [trial.number for trial in trials if not trial.has_ended]:
        yield f"trials were never ended: {cut_off}"
    if dict(record.counts) != count_by_state(trials):
        yield f"the queue counts {dict(record.counts)}, Optuna {count_by_state(trials)}"
    if record.winner != (ended.best.number if ended.best else None):
        yield f"the queue's winner is {record.winner}, the best trial is {ended.best}"
    trained = {(each.number, each.name) for each in ended.retrainings if each.state == "complete"}
    if missing := ended.expected_retrainings - trained:
        yield f"further trainings are missing: {sorted(missing)}"
    waiting = Outbox(store).read_backlog(ended.name)
    if waiting.pending or waiting.set_aside:
        yield f"{waiting.pending} rows wait for MLflow, {waiting.set_aside} were set aside: {waiting.last_error}"


def _check_disk(ended: _EndedStudy) -> Iterator[str]:
    for trial in ended.trials:
        folder = ended.home.locate_trial(ended.name, trial.number)
        if trial.state in ("complete", "pruned") and (result := ended.result(trial.number)) is None:
            if trial.best_epoch is not None:
                yield f"trial {trial.number} left no result"
        elif trial.state == "complete" and result is not None and result.value != trial.value:
            yield f"trial {trial.number} scored {result.value}, Optuna has {trial.value}"
        if left := sorted(file.name for file in folder.glob("*.checkpoint*")):
            yield f"trial {trial.number} has ended and left {', '.join(left)}"
        if left := sorted(file.name for file in folder.rglob("saving-*")):
            yield f"trial {trial.number} has ended and left {', '.join(left)}, cut off while it was written"
    ranked = rank_trials(ended.trials, ended.objective)
    kept = {trial.number for trial in ranked[: ended.study.spec.models_kept]}
    found = {int(file.parent.name) for file in ended.home.locate_study(ended.name).glob(f"trials/*/{MODEL_FILE}")}
    if kept != found:
        yield f"models are there of trials {sorted(found)}, the best are {sorted(kept)}"


def _check_promoted(ended: _EndedStudy) -> Iterator[str]:
    """Check that each trial that went on after a pause did so where it was paused; scripted trials leave no log."""
    fleets = [file.read_text() for file in ended.home.locate_study(ended.name).glob("fleet-*.log")]
    for trial in ended.trials:
        paused = ended.paused_after.get(trial.number)
        if paused is None or trial.epochs is None or trial.epochs <= paused:
            continue
        log = ended.home.locate_trial(ended.name, trial.number) / "artifacts" / "worker.log"
        logs = [*fleets, *([log.read_text()] if log.exists() else [])]
        found = [
            int(at) for text in logs for at in re.findall(rf"trial {trial.number} resumes after epoch (\d+)", text)
        ]
        if logs and max(found, default=0) < paused:
            yield f"trial {trial.number} was paused after epoch {paused}, and resumed after {max(found, default=0)}"


def _check_mlflow(ended: _EndedStudy, client: MlflowClient) -> Iterator[str]:
    experiment = client.get_experiment_by_name(ended.study.spec.tracking.experiment or ended.name)
    if experiment is None:
        yield "MLflow has no experiment"
        return
    runs = _load_runs(client, experiment.experiment_id, ended.name)
    parents = [run for run in runs if run.data.tags.get("kerastudy.kind") == "study"]
    if len(parents) != 1:
        yield f"MLflow has {len(parents)} runs for the study itself"
        return
    [parent] = parents
    if parent.info.status != "FINISHED":
        yield f"the study's run is {parent.info.status}"
    children = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    executed = [run for run in runs if run.data.tags.get("kerastudy.kind") == "retraining"]
    names = sorted(str(run.info.run_name) for run in executed)
    trained = [each for each in ended.retrainings if each.name not in (AUTO, COMPARISON, ENSEMBLE)]
    if names != sorted(format_run_name(ended.name, each.number, each.name) for each in trained):
        yield f"MLflow has the further trainings {names}"
    if unended := [run.info.run_name for run in executed if run.info.status != "FINISHED"]:
        yield f"MLflow has further trainings that are not FINISHED: {unended}"
    if stray := len(runs) - 1 - len(children) - len(executed):
        yield f"MLflow has {stray} runs of the study that belong to no parent"
    counted = Counter(int(run.data.tags["number"]) for run in children)
    expected = {trial.number for trial in ended.trials}
    if wrong := {number: count for number, count in counted.items() if count != 1 or number not in expected}:
        yield f"MLflow has runs of trials that are not one for each: {wrong}"
    if missing := sorted(expected - set(counted)):
        yield f"MLflow has no run of trials {missing}"
    by_number = {int(run.data.tags["number"]): run for run in children}
    for trial in ended.trials:
        if (run := by_number.get(trial.number)) is not None:
            yield from (f"trial {trial.number} in MLflow: {each}" for each in _check_run(trial, run, ended, client))
    yield from _check_study_curve(ended, parent, client)
    refits = {int(run.data.tags["number"]): run for run in executed if str(run.info.run_name).endswith(f"-{REFIT}")}
    refitted = {number: run for number, run in refits.items() if is_refitted(ended.study, ended.home, number)}
    yield from _check_registered(ended, {**by_number, **refitted}, client)
    logged = client.search_logged_models([experiment.experiment_id])
    of_runs = Counter(model.source_run_id for model in logged)
    if any(count > 1 for count in of_runs.values()) or len(logged) > ended.study.spec.models_kept + len(refitted):
        yield f"MLflow holds {len(logged)} logged models of {len(of_runs)} trials"


def _load_runs(client: MlflowClient, experiment: str, study: str) -> list[Run]:
    """Return all runs of a study, however many."""
    found: list[Run] = []
    token = None
    while True:
        page = client.search_runs([experiment], f"tags.`kerastudy.study` = '{study}'", page_token=token)
        found += page
        token = page.token
        if not token:
            return found


def _check_run(trial: TrialSummary, run: Run, ended: _EndedStudy, client: MlflowClient) -> Iterator[str]:
    tags, result = run.data.tags, ended.result(trial.number)
    if run.info.status != _STATUS.get(trial.state, "?"):
        yield f"its run is {run.info.status}, the trial {trial.state}"
    if tags.get("kerastudy.state") != trial.state:
        yield f"it is tagged {tags.get('kerastudy.state')}, the trial is {trial.state}"
    if trial.reason and tags.get("kerastudy.reason") != trial.reason:
        yield f"its reason is {tags.get('kerastudy.reason')!r}, the trial's {trial.reason!r}"
    written = {name: repr(value) if isinstance(value, float) else str(value) for name, value in trial.params.items()}
    if run.data.params != written:
        yield f"its parameters are {run.data.params}, the trial's {written}"
    curves = [
        name
        for name in run.data.metrics
        if not name.startswith(("best_", "test_", "epochs_", "peak_", "cpu_", "validation_"))
    ]
    if result is None:
        for name in curves:
            steps = [point.step for point in client.get_metric_history(run.info.run_id, name)]
            if len(steps) != len(set(steps)):
                yield f"{name} has epochs more than once"
        return
    plain = {name for done in result.epochs for name in done.metrics}
    if set(curves) != plain | {CURVES + name for name in plain if "/" not in name}:
        yield f"it has curves of {sorted(curves)}"
    # The first record of an epoch stays, even if an attempt from the beginning had other values.
    told = {done.epoch: done.metrics for done in read_epochs(ended.home.locate_trial(ended.name, trial.number))}
    for name in curves:
        points = client.get_metric_history(run.info.run_id, name)
        found = sorted((point.step, point.value) for point in points)
        # A step is the number of epochs that were trained then.
        wanted = [(done.epoch + 1, told[done.epoch][name.removeprefix(CURVES)]) for done in result.epochs]
        if found != wanted:
            yield f"{name} has {_describe_difference(found, wanted)}"
    for name, value in trial.metrics.items():
        if run.data.metrics.get(f"best_{name}") != value:
            yield f"best_{name} is {run.data.metrics.get(f'best_{name}')}, the trial's {value}"


def _describe_difference(found: Sequence[tuple[int, float]], wanted: Sequence[tuple[int, float]]) -> str:
    steps = Counter(step for step, _ in found)
    missing = [step for step, _ in wanted if step not in steps]
    repeated = [step for step, count in steps.items() if count > 1]
    others = sorted(set(found) - set(wanted))
    return f"{len(found)} points for {len(wanted)} epochs; missing {missing}, repeated {repeated}, others {others[:3]}"


def _check_study_curve(ended: _EndedStudy, parent: Run, client: MlflowClient) -> Iterator[str]:
    points = sorted(client.get_metric_history(parent.info.run_id, "best_so_far"), key=lambda point: point.step)
    steps = [point.step for point in points]
    complete = {trial.number for trial in ended.trials if trial.state == "complete"}
    if len(steps) != len(set(steps)):
        yield f"the study's curve has trials more than once: {steps}"
    if not complete <= set(steps):
        yield f"the study's curve lacks trials {sorted(complete - set(steps))}"
    counts: Mapping[str, Any] = {
        name.removeprefix("kerastudy.trials."): int(value)
        for name, value in parent.data.tags.items()
        if name.startswith("kerastudy.trials.")
    }
    if {state: count for state, count in counts.items() if count} != count_by_state(ended.trials):
        yield f"the study's run counts {counts}"


def _check_registered(ended: _EndedStudy, runs: Mapping[int, Run], client: MlflowClient) -> Iterator[str]:
    best, export = ended.best, ended.study.spec.export
    if best is None or best.number not in runs or not export.alias:
        return
    name = export.register_as or ended.name
    winner = runs[best.number].info.run_id
    try:
        version = client.get_model_version_by_alias(name, export.alias)
    except MlflowException as error:
        yield f"no winner is registered: {error}"
        return
    if version.run_id != winner:
        yield f"the alias {export.alias} is on another trial's model"
    versions = client.search_model_versions(f"name = '{name}' and run_id = '{winner}'")
    if len(versions) != 1:
        yield f"the winner is registered {len(versions)} times"


def _check_best_model(ended: _EndedStudy) -> Iterator[str]:
    """Load the best model, evaluate it on the validation rows in raw columns, and compare with the record."""
    import keras

    from pipelines.data.prepared_folder import load_part, load_raw, load_summary
    from pipelines.models.losses import build_metrics
    from pipelines.models.raw_predict import predict_raw

    if (best := ended.best) is None:
        yield "no trial is complete"
        return
    data = ended.home.locate_data(ended.name)
    try:
        model = keras.models.load_model(ended.home.locate_trial(ended.name, best.number) / MODEL_FILE)
        predictions = predict_raw(model, load_raw(data, "validation"))
    except Exception as error:  # whatever keeps a model from being used is this promise broken
        yield f"the best model cannot be used: {type(error).__name__}: {error}"
        return
    truth = np.asarray(load_part(data, "validation").y)
    for metric in build_metrics(load_summary(data).task, ended.study.spec.training):
        metric.update_state(truth, predictions)
        score, recorded = float(np.mean(metric.result())), best.metrics.get(f"val_{metric.name}")
        if recorded is not None and not np.isclose(score, recorded, rtol=_CLOSE, atol=_CLOSE):
            yield f"the best model has {metric.name} {score} on the validation rows, recorded is {recorded}"
