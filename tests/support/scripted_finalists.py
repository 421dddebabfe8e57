"""Scripted scores of a search and of its finalists' retrainings, and an engine that trains by them."""

from pathlib import Path

from fake_engine import FakeEngine, training

from pipelines.selection.refit import COMPARED_TRAININGS

SEARCHED = [0.1, 0.3, 0.2, 0.9]
"""Scores in the search: less is better, so the trials 0, 2 and 1 are the finalists."""

AGAIN = {0: [0.8, 0.9, 1.0], 2: [0.4, 0.5, 0.6], 1: [0.7, 0.7, 0.7]}
"""Scores of further trainings: the trial 2 has the best mean, 0.5."""


def retraining_of(job):
    """Return the name of the retraining that a job is; empty for a trial of the search."""
    folder = Path(job.folder)
    return folder.name if folder.parent.parent.name == "retrainings" else ""


def script(job, *, late=False):
    """Reach the scores above: the best one in the second of three epochs, or of those of a refit in the last.

    With `late` it is the fifth of five.
    """
    name = retraining_of(job)
    if job.refit_epochs is not None:
        return (yield from training(job, [2.0 - epoch / 10 for epoch in range(job.refit_epochs)]))
    seed = name.removeprefix("seed-")
    wanted = AGAIN[job.number][int(seed) - 1] if seed.isdigit() else SEARCHED[job.number]
    return (yield from training(job, [wanted + each for each in ((5, 4, 3, 2, 0) if late else (2, 0, 1))]))


def compared(own, refit):
    """Return the results of the jobs that compare a refit: every training scores so on the rows held out."""
    scores = tuple({"test_loss": refit if each.refits else own} for each in COMPARED_TRAININGS)
    return {"data": None, "compare-refit": scores}


def engine(of=script, **choices):
    return FakeEngine(of, workers=2, test_scores={}, **choices)


def run(desk, made=None, **choices):
    """Run the study and return its last word."""
    return desk.run(made or engine(), **{"trials": 4, "selection": "finalists: 3, seeds: 3", **choices})[-1]
