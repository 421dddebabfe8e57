"""Ways to deliver more than the best trial's model, compared by the test rows of small studies.

A study takes a few random configurations of a small network and trains each with its best epoch by the validation rows,
as in `epoch_choice.py`. Beside the best trial's model stand its refit on all rows, means of several models, and greedy
ensembles (Caruana et al., "Ensemble selection from libraries of models", ICML 2004) chosen by the validation rows.

    python benchmarks/ensembles.py FOLDER [--sets NAME ...] [--splits N] [--trials N] [--epochs N]
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from epoch_choice import Split, draw_configuration, load_split, parse_options, train_epochs

FOLDS = 5
SEEDS = 4
FINALISTS = 3
MEMBERS = 10


@dataclass(frozen=True)
class Member:
    """A model's predictions [row, output] for the validation and the test rows, its score and its best epoch."""

    validation: np.ndarray
    test: np.ndarray
    score: float
    epoch: int


def main() -> None:
    """Run the studies and print a table for each set."""
    options = parse_options(__doc__)
    for name in options.sets:
        started, found = time.monotonic(), []
        for split in range(options.splits):
            found.append(_run(load_split(options.folder, name, split), split, options.trials, options.epochs))
        first = np.array([each["best trial"] for each in found])
        print(f"{name}: {len(found)} splits, {time.monotonic() - started:.0f} s")
        for way in found[0]:
            ours = np.array([each[way] for each in found])
            gap = (ours - first) / first.mean()
            error = gap.std(ddof=1) / np.sqrt(len(gap)) if len(gap) > 1 else 0.0
            worse = (ours > first).sum()
            print(f"  {way:<38} {ours.mean():.4f}  {gap.mean():+.2%} +- {error:.2%}, worse in {worse} of {len(gap)}")
        print(flush=True)


def _run(rows: Split, split: int, trials: int, epochs: int) -> dict[str, float]:
    """Return the test score of each way to deliver."""

    def train(trial: int, seed: int, parts: Mapping[str, tuple[np.ndarray, np.ndarray]] | None = None) -> Member:
        random = np.random.default_rng(1000 * split + trial)
        configuration = draw_configuration(random)
        used = rows if parts is None else replace(rows, parts=parts)
        return _select_epoch(train_epochs(used, configuration, epochs, seed), used)

    def score(predictions: np.ndarray, part: str = "test") -> float:
        return _score(predictions, rows.parts[part][1], rows)

    searched = [train(trial, 1000 * split + trial) for trial in range(trials)]
    order = sorted(range(trials), key=lambda trial: searched[trial].score)
    best, finalists = order[0], order[:FINALISTS]
    seeds = {trial: [train(trial, 77_000 + 100 * trial + seed) for seed in range(SEEDS)] for trial in finalists}
    folds = {
        trial: [train(trial, 99_000 + 100 * trial + k, _fold(rows, k)) for k in range(FOLDS)] for trial in finalists
    }
    by_mean = min(finalists, key=lambda trial: np.mean([each.score for each in seeds[trial]]))
    refit = _refit(rows, best, split, searched[best].epoch, epochs)
    pool = [*searched, *(each for trial in finalists for each in seeds[trial])]
    wide = _choose_greedily(pool, score)
    own = score(searched[best].test)
    return {
        "best trial": own,
        "best of 3 finalists by 4 seeds, own model": score(searched[by_mean].test),
        "refit": score(refit),
        "mean of the 3 best trials": score(_mean(searched[trial] for trial in finalists)),
        "greedy over the trials": score(_choose_greedily(searched, score)),
        "mean of 5 seeds of the best": score(_mean([searched[best], *seeds[best]])),
        "mean of 4 seeds of 3 finalists": score(_mean(each for trial in finalists for each in seeds[trial])),
        "greedy over trials and seeds": score(wide),
        "5 folds of the best": score(_mean(folds[best])),
        "the best and 5 folds of it": score(_mean([searched[best], *folds[best]])),
        "that of the finalist by seeds": score(_mean([searched[by_mean], *folds[by_mean]])),
        "5 folds of the finalist by seeds": score(_mean(folds[by_mean])),
        "5 folds of 3 finalists": score(_mean(each for trial in finalists for each in folds[trial])),
        "greedy, and 5 folds of the best": score((wide + _mean(folds[best])) / 2),
    }


def _select_epoch(curve: Sequence[tuple[float, float, np.ndarray, np.ndarray]], rows: Split) -> Member:
    at = min(range(len(curve)), key=lambda epoch: curve[epoch][:2])
    score, _, validation, test = curve[at]
    return Member(validation, test, score, at)


def _fold(rows: Split, fold: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return the parts of a fold of all rows but the test rows."""
    x, y = (np.concatenate([rows.parts["train"][index], rows.parts["validation"][index]]) for index in (0, 1))
    order = np.random.default_rng(5).permutation(len(x))
    # As many training rows in each fold, so that one program trains all.
    size = len(x) // FOLDS
    held = order[fold * size : (fold + 1) * size]
    rest = np.setdiff1d(order, held)[: len(x) - size]
    return {"train": (x[rest], y[rest]), "validation": (x[held], y[held]), "test": rows.parts["test"]}


def _refit(rows: Split, trial: int, split: int, best: int, epochs: int) -> np.ndarray:
    x, y = (np.concatenate([rows.parts["train"][index], rows.parts["validation"][index]]) for index in (0, 1))
    parts = {"train": (x, y), "validation": rows.parts["validation"], "test": rows.parts["test"]}
    configuration = draw_configuration(np.random.default_rng(1000 * split + trial))
    curve = train_epochs(replace(rows, parts=parts), configuration, epochs, 55_000 + trial)
    return curve[best][3]


def _mean(members: Iterable[Member]) -> np.ndarray:
    return np.mean([each.test for each in members], axis=0)


def _choose_greedily(pool: Sequence[Member], score: Callable[[np.ndarray, str], float]) -> np.ndarray:
    """Return the test predictions of an ensemble that grows by whichever member helps most, with repetition."""
    chosen: list[Member] = []
    best = np.inf
    while len(chosen) < MEMBERS:
        total = sum(each.validation for each in chosen) if chosen else 0.0
        values = [score((total + each.validation) / (len(chosen) + 1), "validation") for each in pool]
        at = int(np.argmin(values))
        if values[at] >= best:
            break
        best = values[at]
        chosen.append(pool[at])
    return _mean(chosen)


def _score(predictions: np.ndarray, y: np.ndarray, rows: Split) -> float:
    if rows.outputs > 1:
        return float((predictions.argmax(1) != y).mean())
    return float(np.sqrt(((predictions[:, 0] - y) ** 2).mean())) * rows.scale


if __name__ == "__main__":
    main()
