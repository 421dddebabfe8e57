"""Time and weight of a study's report at several numbers of trials, beside optuna-dashboard's pages for the same study.

Studies are written into a store without training: their trials have made-up scores and curves. CPU seconds of this
process, libraries loaded before; sizes raw and after gzip, as a web server sends them. optuna-dashboard, an extra,
serves a page, its script and the study as JSON; it is left out where it is not installed.

    python benchmarks/report_weight.py --trials 100 1000 10000
"""

from __future__ import annotations

import argparse
import gzip
import io
import json
import math
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import optuna
from simulated_engine import SUMMARY, load_study

from pipelines.operations.report import read_report, render_study_report
from pipelines.operations.submit import enqueue
from pipelines.search.trial_summaries import RESULT, TrialSummary
from pipelines.study.study import Study
from pipelines.training.trial_folder import ARTIFACTS
from pipelines.workspace.home import Home
from search_spaces.suggest import suggest
from tracking.reports.figures.gallery import draw_figures, write_pngs
from tracking.reports.lean_imports import load_libraries
from tracking.store.database import Store
from tracking.store.optuna_tables import TrialRows

_NAME = "scale"
_EPOCHS = 20
_CURVES = 200
"""Trials that get a file with their epochs: a report reads 60 at most."""


def main() -> None:
    """Print a table: a row a figure, a column a number of trials."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--trials", type=int, nargs="+", default=[100, 1000, 10_000])
    options = parser.parse_args()
    load_libraries(lean=True)
    columns = [measure(count) for count in options.trials]
    print(f"{'trials':<44}" + "".join(f"{count:>12,}" for count in options.trials))
    for name in columns[0]:
        print(f"{name:<44}" + "".join(f"{column[name]:>12.3g}" for column in columns))


def measure(count: int) -> dict[str, float]:
    """Return the figures at a number of trials."""
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder), folder)
        write_study(home, count)
        figures: dict[str, float] = {}
        report = _time(figures, "report: reading, CPU s", lambda: read_report(home, _NAME))
        page = _time(figures, "report: importances, figures, page, CPU s", lambda: render_study_report(report))
        drawn = draw_figures(report)
        _time(figures, "report: figures as PNG, CPU s", lambda: write_pngs(drawn, Path(folder) / "plots"))
        figures |= _weigh("report", [page.encode()])
        figures |= dict(_weigh_dashboard(home))
        return figures


def write_study(home: Home, count: int) -> None:
    """Write a finished study of so many trials: queue, data, trials and the epochs of some."""
    study = load_study(trials=count, name=_NAME)
    with Store.open(home.store) as store:
        enqueue(study, SUMMARY, store)
        home.locate_data(_NAME).mkdir(parents=True, exist_ok=True)
        (home.locate_data(_NAME) / "summary.json").write_text(json.dumps(asdict(SUMMARY)))
        storage = store.open_optuna_storage()
        created = optuna.create_study(storage=storage, study_name=_NAME, direction="minimize")
        TrialRows(storage, created._study_id, ()).write(list(_make_trials(study, count)))
    for number in range(min(count, _CURVES)):
        file = home.locate_trial(_NAME, number) / ARTIFACTS / "history.csv"
        file.parent.mkdir(parents=True)
        lines = [f"{epoch},{2 / (epoch + 1)},{2.2 / (epoch + 1)}" for epoch in range(_EPOCHS)]
        file.write_text("\n".join(["epoch,loss,val_loss", *lines]) + "\n")


def _make_trials(study: Study, count: int) -> Iterator[optuna.trial.FrozenTrial]:
    chance = random.Random(0)
    sampler = optuna.samplers.RandomSampler(seed=0)
    drawn = optuna.create_study(sampler=sampler, storage=optuna.storages.InMemoryStorage())
    begin = datetime(2026, 1, 1)
    for number in range(count):
        asked = drawn.ask()
        params = suggest(study.space, asked)
        score = 0.1 + (math.log10(params["learning_rate"]) + 2.5) ** 2 / 10 + abs(chance.gauss(0, 0.02))  # type: ignore[arg-type]
        state: Literal["pruned", "complete"] = "pruned" if number % 4 == 3 else "complete"
        started, ended = begin + timedelta(seconds=number), begin + timedelta(seconds=number + 4)
        summary = TrialSummary(number, state, score, params, 15, 4.0, metrics={"val_loss": score}, epochs=_EPOCHS)
        frozen = drawn._storage.get_trial(asked._trial_id)
        yield optuna.trial.FrozenTrial(
            number=number,
            state=optuna.trial.TrialState.PRUNED if state == "pruned" else optuna.trial.TrialState.COMPLETE,
            value=score if state == "complete" else None,
            datetime_start=started,
            datetime_complete=ended,
            params=frozen.params,
            distributions=frozen.distributions,
            user_attrs={RESULT: summary.to_result()},
            system_attrs={},
            intermediate_values={step: score + 1 / step for step in (1, 2, 3, 4, 6, 9, 13, 20)},
            trial_id=number,
        )


def _weigh_dashboard(home: Home) -> Iterator[tuple[str, float]]:
    """Yield what a browser loads from optuna-dashboard to show the study."""
    try:
        import optuna_dashboard
    except ImportError:
        return
    with Store.open(home.store) as store:
        storage = store.open_optuna_storage()
        app: Any = optuna_dashboard.wsgi(storage)
        study = storage.get_study_id_from_name(_NAME)
        figures: dict[str, float] = {}
        script = (Path(optuna_dashboard.__file__).parent / "public" / "bundle.js").read_bytes()
        paths = ["/dashboard/", f"/api/studies/{study}", f"/api/studies/{study}/param_importances"]
        bodies = _time(figures, "optuna-dashboard: its answers, CPU s", lambda: [_get(app, path) for path in paths])
        yield from figures.items()
        yield from _weigh("optuna-dashboard", [script, *bodies]).items()


def _get(app: Any, path: str) -> bytes:
    status: list[str] = []
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": path, "QUERY_STRING": "", "SERVER_NAME": "x", "SERVER_PORT": "80",
               "wsgi.url_scheme": "http", "wsgi.input": io.BytesIO(), "wsgi.errors": sys.stderr}  # fmt: skip
    body = b"".join(app(environ, lambda line, headers, error=None: status.append(line)))
    assert status[0].startswith("200"), (path, status)
    return body


def _weigh(name: str, bodies: list[bytes]) -> dict[str, float]:
    return {
        f"{name}: kB": sum(map(len, bodies)) / 1000,
        f"{name}: kB after gzip": sum(len(gzip.compress(body)) for body in bodies) / 1000,
    }


def _time(figures: dict[str, float], name: str, call: Callable[[], Any]) -> Any:
    began = time.process_time()
    found = call()
    figures[name] = time.process_time() - began
    return found


if __name__ == "__main__":
    main()
