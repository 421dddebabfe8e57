"""Contents of reports, made by hand: studies with known best regions, without training."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from typing import Any

from search_spaces.values import Direction
from tracking.reports.content import (
    Evaluation,
    ForecastEvaluation,
    ForecastSeries,
    OriginScore,
    PartEvaluation,
    ReportBaseline,
    ReportFinalist,
    ReportParameter,
    ReportTrial,
    StudyReport,
)
from tracking.timings.spans import Span, StudyRun

PARAMETERS = (
    ReportParameter("learning_rate", 1e-4, 1.0, is_log=True),
    ReportParameter("units", 8, 256, is_log=True, is_whole=True),
    ReportParameter("dropout", 0.0, 0.5),
    ReportParameter("optimizer", choices=("adam", "sgd", "rmsprop")),
    ReportParameter("momentum", 0.0, 1.0, is_conditional=True),
    ReportParameter("batch_norm", choices=(True, False)),
    ReportParameter("activation", choices=("relu",)),
)
_START = 1_750_000_000.0


def draw_params(chance: random.Random) -> dict[str, Any]:
    """Return random values of `PARAMETERS`; momentum exists for sgd alone."""
    optimizer = chance.choice(["adam", "sgd", "rmsprop"])
    return {
        "learning_rate": 10 ** chance.uniform(-4, 0),
        "units": int(8 * 2 ** chance.uniform(0, 5)),
        "dropout": chance.uniform(0, 0.5),
        "optimizer": optimizer,
        "batch_norm": chance.random() < 0.5,
        "activation": "relu",
        **({"momentum": chance.random()} if optimizer == "sgd" else {}),
    }


def score_by_rate(params: dict[str, Any]) -> float:
    """Return an accuracy that the learning rate alone decides: best at 0.01."""
    return 0.95 - (math.log10(params["learning_rate"]) + 2) ** 2 / 12


def make_trials(
    count: int,
    score: Callable[[dict[str, Any]], float] = score_by_rate,
    *,
    states: Sequence[str] = ("complete",),
    seed: int = 1,
    workers: int = 3,
) -> list[ReportTrial]:
    """Return trials with random values; their states repeat `states`."""
    chance = random.Random(seed)
    clock = [_START] * workers
    trials = []
    for number in range(count):
        params, state = draw_params(chance), states[number % len(states)]
        worker = clock.index(min(clock))
        epochs = 20 if state == "complete" else 5
        seconds = epochs * 0.2
        trials.append(
            ReportTrial(
                number,
                state,  # type: ignore[arg-type]
                () if state in ("failed", "running") else (score(params),),
                params,
                best_epoch=None if state in ("failed", "running") else epochs // 2,
                epochs=epochs,
                seconds=seconds,
                started=clock[worker],
                ended=None if state == "running" else clock[worker] + seconds,
                reason={"failed": f"loss became nan in epoch {number}", "pruned": "pruned after epoch 5"}.get(
                    state, ""
                ),
                trainer="fit",
            )
        )
        clock[worker] += seconds
    return trials


def make_curve(epochs: int = 20, *, best: int = 20, train: float = 0.96, val: float = 0.95) -> list[dict[str, float]]:
    """Return a curve whose validation loss is least at an epoch, counted from 1, and grows afterwards."""
    curve = []
    for epoch in range(1, epochs + 1):
        share = min(1.0, epoch / best)
        loss = 1 - 0.8 * share + 0.05 * max(0, epoch - best)
        curve.append(
            {"loss": 1 - 0.85 * share, "val_loss": loss, "accuracy": train * share, "val_accuracy": val * share}
        )
    return curve


def make_report(trials: Sequence[ReportTrial], direction: Direction = "maximize", **fields: Any) -> StudyReport:
    """Return a report whose winner is the best of the trials."""
    sign = -1 if direction == "maximize" else 1
    complete = [trial for trial in trials if trial.is_complete and trial.is_allowed]
    best = min(complete, key=lambda trial: sign * (trial.score or 0.0), default=None)
    settings = {
        "state": "finished",
        "reason": f"{len(trials)} trials done",
        "winner": best.number if best else None,
        "parameters": PARAMETERS,
        "most_epochs": 20,
        "budget": len(trials),
        "seconds": 120.0,
        "model": "mlp",
        "source": "data.csv",
        **fields,
    }
    return StudyReport("digits", "val_accuracy", direction, trials=list(trials), **settings)


def make_classes_evaluation(trial: int = 0, classes: Sequence[str] = ("cat", "dog", "<b>owl</b>")) -> Evaluation:
    """Return an evaluation of a classifier."""
    count = len(classes)
    confusion = [[20 if true == guess else true for guess in range(count)] for true in range(count)]
    part = PartEvaluation(
        rows=sum(map(sum, confusion)),
        confusion=confusion,
        roc={name: [(0.0, 0.0), (0.1, 0.8), (1.0, 1.0)] for name in classes},
        auc=dict.fromkeys(classes, 0.9),
        calibration=[(0.15, 0.2, 5), (0.95, 0.9, 60)],
        metrics={"accuracy": 0.9, "calibration_error": 0.05},
        intervals={"accuracy": (0.85, 0.94)},
    )
    return Evaluation(trial, tuple(classes), {"validation": part, "test": part})


def make_regression_evaluation(trial: int = 0) -> Evaluation:
    """Return an evaluation of a regression."""
    chance = random.Random(0)
    pairs = [(value := chance.gauss(5, 2), value + chance.gauss(0, 0.5)) for _ in range(100)]
    part = PartEvaluation(100, residuals={"y": pairs}, metrics={"mean_absolute_error": 0.4, "r2_score": 0.9})
    return Evaluation(trial, parts={"validation": part})


def make_forecast_evaluation(trial: int = 0, *, is_date: bool = True, naive: float | None = 3.0) -> Evaluation:
    """Return an evaluation of forecasts of two shops from three times."""
    days = [20_000.0 + day for day in range(21)]
    series = [
        ForecastSeries(
            name, [(day, day % 7) for day in days], [[(day, 3.0) for day in days[at : at + 7]] for at in (0, 7)]
        )
        for name in ("<b>shop</b>", "b")
    ]
    origins = [OriginScore(f"2024-10-0{day}", f"2024-10-1{day}", 2, 1.5 + day, naive) for day in (1, 2, 3)]
    steps = [(step, 0.5 * step, naive) for step in range(1, 8)]
    forecast = ForecastEvaluation("visitors", "the value of a week before as forecast", is_date, origins, steps, series)
    part = PartEvaluation(42, metrics={"mean_absolute_error": 2.0}, forecast=forecast)
    return Evaluation(trial, parts={"validation": part, "test": part})


def make_run() -> StudyRun:
    """Return the times of a short run."""
    spans = [
        Span("supervisor", "importing", 100.0, 101.0, 1.0),
        Span("supervisor", "waiting for workers", 101.0, 110.0, 8.0),
        Span("worker 1", "training", 102.0, 110.0, 7.0, "fleet-1"),
    ]
    return StudyRun(100.0, 110.0, spans)


def make_full_report(count: int = 60) -> StudyReport:
    """Return a report in which nothing is missing."""
    trials = make_trials(count, states=("complete", "complete", "pruned", "complete", "failed", "paused"))
    report = make_report(trials)
    winner = report.winner or 0
    curves = {trial.number: make_curve() for trial in trials if trial.score is not None}
    return make_report(
        trials,
        curves=curves,
        finalists=[ReportFinalist(winner, 0.93, (0.92, 0.94), (0.925, 0.935))],
        test={"test_accuracy": 0.91, "test_loss": 0.2},
        baselines=[ReportBaseline("predicting the commonest class", 0.1, 0.1), ReportBaseline("a linear model", 0.9)],
        evaluation=make_classes_evaluation(winner),
        space="learning_rate:\n  type: float\n",
        facts={"search": "tpe sampler"},
        failed_attempts=[(3, "its worker died")],
        runs=[make_run()],
    )
