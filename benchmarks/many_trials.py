"""What a study of many trials costs its readers: the command line, a supervisor that goes on, and MLflow's pages.

Homes come from `own_cost.py --home`. CPU seconds of whole processes for commands, of the call for all else; sizes on
disk. MLflow's pages are the queries that its UI sends for the views that kerastudy seeds, on MLflow's store itself.

    python benchmarks/own_cost.py --trials 10000 --without-pictures --home FOLDER
    python benchmarks/many_trials.py FOLDER...
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import psutil
from simulated_engine import SUMMARY, load_study

from pipelines.search.optuna_search import OptunaSearch
from pipelines.study.context import StudyContext
from pipelines.supervisor.open_study import OpenStudy
from pipelines.supervisor.study_control import StudyControl
from pipelines.workspace.home import Home
from tracking.mlflow import client as mlflow_connection
from tracking.mlflow import urls
from tracking.store.database import Store

_NAME = "scale"
# The UI requests so many runs a page.
_PAGE = 100


class NoEngine:
    """Engine that runs nothing."""

    workers = 1
    worker_memory_bytes = 10**9


def main() -> None:
    """Print a table: a row for each home."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("homes", type=Path, nargs="+")
    options = parser.parse_args()
    rows = [measure(folder) for folder in options.homes]
    for name in rows[0]:
        print(f"{name:<44}" + "".join(f"{row[name]:>12.3g}" for row in rows))


def measure(folder: Path) -> dict[str, float]:
    """Return the figures of one home."""
    home = Home(folder, str(folder))
    figures: dict[str, float] = {}
    with Store.open(home.store) as store:
        control = StudyControl(store, _NAME)
        context = StudyContext.from_study(load_study(trials=10**6, name=_NAME), SUMMARY, home)
        before = _resident_mb()
        opened: list[OpenStudy] = []
        figures["a supervisor opens it, s"] = _time(
            lambda: opened.append(OpenStudy.open(context, store, NoEngine(), control))  # type: ignore[arg-type]
        )
        search: OptunaSearch = opened[0].search
        figures = {"trials": len(search.trials), **figures, "and grows by, MB": _resident_mb() - before}
    for command in ("show", "trials", "best"):
        figures[f"kerastudy {command}, CPU s"] = _time_command(command)(folder)
    figures.update(_measure_mlflow(home))
    figures["kerastudy.db, kB a trial"] = _count_bytes(folder, "kerastudy.db*") / 1000 / figures["trials"]
    figures["mlflow.db, kB a trial"] = _count_bytes(folder, "mlflow.db*") / 1000 / figures["trials"]
    return figures


def _measure_mlflow(home: Home) -> Iterator[tuple[str, float]]:
    client = mlflow_connection.connect(urls.make_home_tracking_uri(home.folder))
    found = client.get_experiment_by_name(_NAME)
    assert found is not None, "the study has just ended"
    experiment = found.experiment_id
    parent = client.search_runs([experiment], "tags.`kerastudy.kind` = 'study'")[0].info.run_id
    children = f"tags.mlflow.parentRunId = '{parent}'"
    leaderboard = ["metrics.`best_val_loss` ASC"]

    def search(filter_string: str, order_by: list[str]) -> Any:
        return client.search_runs([experiment], filter_string, max_results=_PAGE, order_by=order_by)

    trial = search(children, leaderboard)[0]
    yield "MLflow: leaderboard, first page, s", _time(lambda: search(children, leaderboard))
    yield "MLflow: studies and runs by time, s", _time(lambda: search("", ["attributes.start_time DESC"]))
    yield "MLflow: page of one trial, s", _time(lambda: client.get_run(trial.info.run_id))
    yield "MLflow: one curve, s", _time(lambda: client.get_metric_history(trial.info.run_id, "val_loss"))
    yield "MLflow: page of the study, s", _time(lambda: client.get_run(parent))
    yield "MLflow: the study's curve, s", _time(lambda: client.get_metric_history(parent, "best_so_far"))


def _time(call: Callable[[], Any]) -> float:
    began = time.thread_time()
    call()
    return time.thread_time() - began


def _time_command(command: str) -> Callable[[Path], float]:
    def run(folder: Path) -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        line = [sys.executable, "-m", "kerastudy", "--home", str(folder), command, _NAME]
        subprocess.run(line, check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    return run


def _count_bytes(folder: Path, pattern: str) -> int:
    return sum(file.stat().st_size for file in folder.glob(pattern))


def _resident_mb() -> float:
    return float(psutil.Process().memory_info().rss) / 1e6


if __name__ == "__main__":
    main()
