"""Tables and picture of the measurements of `search.py`, made from its CSV file.

python benchmarks/search_report.py [FILE]
"""

from __future__ import annotations

import csv
import math
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median, variance

FULL_EPOCHS = 52
_INTERVAL = 1.96
_ASK_AT = (25, 50, 100, 200)
# The picture names at most so many, in the order of the table.
_LINES = 10

Way = tuple[str, str, str, str]
"""Sampler, pruner, start, workers, with the clock where it is not epochs."""


@dataclass(frozen=True)
class Estimate:
    """A mean regret over tasks and seeds.

    Attributes:
        half: half the width of its 95 % interval, from the spread of the seeds within each task; nan for one seed.
        seeds: the fewest of any task.
    """

    mean: float
    half: float
    seeds: int
    tasks: int

    def __str__(self) -> str:
        return f"{self.mean:.3f}" + ("" if math.isnan(self.half) else f" ± {self.half:.3f}")


def report(file: Path) -> None:
    """Print the tables, write them beside the results, and draw the picture."""
    rows = read(file)
    full, spent = [row for row in rows if row["pruner"] == "none"], [row for row in rows if row["pruner"] != "none"]
    text = "\n\n".join(
        [
            "Regret after so many full trials (mean ± half of the 95 % interval):",
            make_table(full, with_pruner=False),
            "Regret after the epochs of so many full trials:",
            make_table(spent, with_pruner=True),
            "CPU of asking for a trial, ms (median over studies of the mean of five asks up to this trial):",
            make_ask_table(full),
        ]
    )
    print(text)
    file.with_suffix(".md").write_text(text + "\n")
    draw({"full trials": full, "epochs spent, in full trials": spent}, file.with_suffix(".png"))


def read(file: Path) -> list[dict[str, str]]:
    """Return the rows of a file of results."""
    with file.open(newline="") as lines:
        return list(csv.DictReader(lines))


def make_table(rows: Iterable[Mapping[str, str]], *, with_pruner: bool) -> str:
    """Return a Markdown table: a line for each way to search, a column for each mark of the budget."""
    groups = estimate(rows)
    marks = sorted({mark for marked in groups.values() for mark in marked})
    names = ["sampler", *(["pruner"] if with_pruner else []), "start", "workers", "tasks x seeds"]
    lines = [f"| {' | '.join([*names, *map(str, marks)])} |", "|---" * (len(names) + len(marks)) + "|"]
    for (sampler, pruner, start, workers), marked in sort_ways(groups):
        first = next(iter(marked.values()))
        cells = [sampler, *([pruner] if with_pruner else []), start, workers, f"{first.tasks} x {first.seeds}"]
        cells += [str(marked[mark]) if mark in marked else "" for mark in marks]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def make_ask_table(rows: Iterable[Mapping[str, str]]) -> str:
    """Return a Markdown table of the CPU time of asking, with one worker and no starting points."""
    asked: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        if row["workers"] == "1" and row["start"] == "none" and int(row["trials"]) in _ASK_AT:
            asked[row["sampler"]][int(row["trials"])].append(float(row["cpu_ask_ms"]))
    lines = [f"| sampler | {' | '.join(map(str, _ASK_AT))} |", "|---" * (1 + len(_ASK_AT)) + "|"]
    for sampler, by_trials in asked.items():
        cells = [f"{median(by_trials[at]):.1f}" if at in by_trials else "" for at in _ASK_AT]
        lines.append(f"| {sampler} | {' | '.join(cells)} |")
    return "\n".join(lines)


def estimate(rows: Iterable[Mapping[str, str]]) -> dict[Way, dict[int, Estimate]]:
    """Return the mean regret of every way to search at every mark, in full trainings."""
    found: dict[Way, dict[int, dict[str, list[float]]]] = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    for row in rows:
        way = (row["sampler"], row["pruner"], row["start"], _name_workers(row))
        found[way][int(row["epochs"]) // FULL_EPOCHS][row["task"]].append(float(row["regret"]))
    return {way: {mark: _estimate(by_task) for mark, by_task in marks.items()} for way, marks in found.items()}


def sort_ways(groups: Mapping[Way, Mapping[int, Estimate]]) -> list[tuple[Way, Mapping[int, Estimate]]]:
    """Return the ways to search, the best at the longest common budget first within a number of workers."""

    def rank(item: tuple[Way, Mapping[int, Estimate]]) -> tuple[int, float]:
        (_, _, _, workers), marked = item
        return int(workers.split(",")[0]), marked[10].mean if 10 in marked else math.inf

    return sorted(groups.items(), key=rank)


def _name_workers(row: Mapping[str, str]) -> str:
    is_timed = row["clock"] == "seconds" and row["workers"] != "1"
    return row["workers"] + (", by seconds" if is_timed else "")


def _estimate(by_task: Mapping[str, list[float]]) -> Estimate:
    fewest = min(map(len, by_task.values()))
    half = math.nan
    if fewest > 1:
        errors = [variance(regrets) / len(regrets) for regrets in by_task.values()]
        half = _INTERVAL * math.sqrt(sum(errors)) / len(errors)
    return Estimate(fmean(map(fmean, by_task.values())), half, fewest, len(by_task))


def draw(parts: Mapping[str, Iterable[Mapping[str, str]]], file: Path) -> None:
    """Draw the regret over the budget, with 95 % intervals; one worker."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, plots = plt.subplots(1, len(parts), figsize=(6.5 * len(parts), 5), layout="constrained", sharey=True)
    for axes, (title, rows) in zip(plots, parts.items(), strict=True):
        ways = [(way, marked) for way, marked in sort_ways(estimate(rows)) if way[3] == "1"]
        for place, ((sampler, pruner, start, _), marked) in enumerate(ways[:_LINES]):
            marks = sorted(marked)
            means = [marked[mark].mean for mark in marks]
            halves = [0.0 if math.isnan(marked[mark].half) else marked[mark].half for mark in marks]
            label = " + ".join([sampler, *([pruner] if pruner not in ("none", sampler) else [])])
            axes.plot(marks, means, label=label + ("" if start == "none" else f", start: {start}"), color=f"C{place}")
            low = [mean - half for mean, half in zip(means, halves, strict=True)]
            high = [mean + half for mean, half in zip(means, halves, strict=True)]
            axes.fill_between(marks, low, high, color=f"C{place}", alpha=0.15)
        axes.set(title=f"Regret over {title}", xlabel=title, xscale="log")
        axes.axhline(0, color="grey", linewidth=0.5)
        axes.legend(fontsize=7)
    plots[0].set_ylabel("mean regret")
    figure.savefig(file, dpi=120)


if __name__ == "__main__":
    report(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "results" / "search.csv")
