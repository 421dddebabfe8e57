"""Table and picture of the measurements of `fleets.py`, made from its CSV files.

python benchmarks/fleets_report.py [FOLDER]
"""

from __future__ import annotations

import csv
import itertools
import math
import statistics
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

FLEETS = {"kerastudy": "auto", "kerastudy-off": "off"}
PEERS = ("optuna", "optuna-mlflow", "keras-tuner", "ray-tune")
SYSTEMS = (*FLEETS, *PEERS)
REFERENCE = "optuna-mlflow"
_COLUMNS = 4


def report(folder: Path) -> None:
    """Print the table, and draw the picture beside the results."""
    rows = [row for row in read(folder / "fleets.csv") if row["error"] == ""]
    text = table(rows)
    print(text)
    (folder / "fleets.md").write_text(text + "\n")
    draw(rows, read(folder / "fleets_scores.csv"), folder / "fleets.png")


def read(file: Path) -> list[dict[str, str]]:
    """Return the rows of a file of results; none where there is no file."""
    if not file.exists():
        return []
    with file.open(newline="") as lines:
        return list(csv.DictReader(lines))


def seconds_for(row: dict[str, str], trials: int) -> float:
    """Return what so many trials take, by one measurement of as many or fewer."""
    return float(row["seconds"]) + (trials - int(row["trials"])) * float(row["warm_trial_s"])


def table(rows: list[dict[str, str]]) -> str:
    """Return a Markdown table of trials an hour: medians and ranges over the runs, and ratios within a run."""
    heading = ("case", "trials", "system", "runs", "trials an hour", "times the reference", "CPU s a trial", "best")
    lines = [f"| {' | '.join(heading)} |", "|---" * len(heading) + "|"]
    for (case, trials, epochs), by_system in _grouped(rows).items():
        reference = {row["run"]: seconds_for(row, trials) for row in by_system.get(REFERENCE, [])}
        for system in [each for each in SYSTEMS if each in by_system]:
            seconds = {row["run"]: seconds_for(row, trials) for row in by_system[system]}
            rates = [trials * 3600 / each for each in seconds.values()]
            ratios = [reference[run] / each for run, each in seconds.items() if run in reference]
            cpu = [
                float(row["cpu_seconds"]) / float(row["seconds"]) * seconds[row["run"]] / trials
                for row in by_system[system]
            ]
            is_whole = int(by_system[system][0]["trials"]) == trials
            best = _spread([float(row["best"]) for row in by_system[system]], ".4f") if is_whole else ""
            lines.append(
                f"| {case} | {trials} x {epochs} epochs | {system}{'' if is_whole else ' *'} | {len(rates)} "
                f"| {_spread(rates, '.0f')} | {_spread(ratios, '.1f')} | {statistics.median(cpu):.2f} | {best} |"
            )
    note = f"Medians (ranges) of the runs. The reference is {REFERENCE}. * from fewer trials, at the cost of warm ones."
    return "\n".join([*lines, "", note])


def _grouped(rows: list[dict[str, str]]) -> dict[tuple[str, int, str], dict[str, list[dict[str, str]]]]:
    """Return the rows by case, budget and epochs, then by system; a peer's few trials go to every budget."""
    ours = [row for row in rows if row["system"] in FLEETS and row["fleet"] == ""]
    budgets = sorted({(row["case"], int(row["trials"]), row["epochs"]) for row in ours})
    groups: dict[tuple[str, int, str], dict[str, list[dict[str, str]]]] = {}
    for case, trials, epochs in budgets:
        by_system: defaultdict[str, list[dict[str, str]]] = defaultdict(list)
        groups[case, trials, epochs] = by_system
        for row in rows:
            fits = row["system"] in PEERS and int(row["trials"]) <= trials and float(row["warm_trial_s"]) > 0
            same = row["fleet"] == "" and int(row["trials"]) == trials
            if row["case"] == case and row["epochs"] == epochs and (fits or same):
                by_system[row["system"]].append(row)
        for system, each in by_system.items():  # of each run the longest measurement there is
            longest = {row["run"]: row for row in sorted(each, key=lambda row: int(row["trials"]))}
            by_system[system] = list(longest.values())
    return groups


def _spread(values: list[float], form: str) -> str:
    if not values:
        return ""
    return f"{statistics.median(values):{form}} ({min(values):{form}} to {max(values):{form}})"


def draw(rows: list[dict[str, str]], scores: list[dict[str, str]], file: Path) -> None:
    """Draw trials an hour by case, and the best score over time of the runs that were long enough to tell."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    groups = _grouped(rows)
    bands = max(1, math.ceil(len(groups) / _COLUMNS))
    figure, grid = plt.subplots(2 * bands, _COLUMNS, figsize=(3.6 * _COLUMNS, 6 * bands), squeeze=False)
    pairs = [pair for band in range(bands) for pair in grid[2 * band : 2 * band + 2].T]
    for unused in pairs[len(groups) :]:
        for axes in unused:
            axes.set_axis_off()
    for (rate, best), ((case, trials, epochs), by_system) in zip(pairs, groups.items(), strict=False):
        systems = [each for each in SYSTEMS if each in by_system]
        for place, system in enumerate(systems):
            rates = [trials * 3600 / seconds_for(row, trials) for row in by_system[system]]
            rate.barh(place, statistics.median(rates), color=f"C{SYSTEMS.index(system)}", alpha=0.6)
            rate.plot(rates, [place] * len(rates), "k.", markersize=4)
            for seconds, reached in _curves(scores, case, system, epochs, trials):
                best.step(seconds, reached, color=f"C{SYSTEMS.index(system)}", where="post", alpha=0.6)
        rate.set_yticks(range(len(systems)), systems)
        rate.invert_yaxis()
        rate.set(title=f"{case}\n{trials} trials x {epochs} epochs", xlabel="trials an hour")
        best.set(xlim=(0, None), yscale="log", xlabel="seconds", ylabel="best validation loss so far")
    figure.tight_layout()
    figure.savefig(file, dpi=110)


def _curves(
    scores: list[dict[str, str]], case: str, system: str, epochs: str, trials: int
) -> Iterator[tuple[list[float], list[float]]]:
    runs: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
    for row in scores:
        fits = system in PEERS or int(row["trials"]) == trials
        if fits and (row["case"], row["system"], row["epochs"]) == (case, system, epochs):
            runs[row["run"], row["trials"]].append((float(row["second"]), float(row["score"])))
    for points in runs.values():
        seconds, values = zip(*sorted(points), strict=True)
        yield list(seconds), list(itertools.accumulate(values, min))


if __name__ == "__main__":
    report(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "results")
