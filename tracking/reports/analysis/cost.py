"""Cost of a study: epochs, hours, CPU, and what ending trials early has saved."""

from __future__ import annotations

from collections.abc import Iterator

from tracking.reports.content import StudyReport
from tracking.reports.figures.scale import format_number


def list_costs(report: StudyReport) -> list[tuple[str, str]]:
    """Return the costs that are known, each with its name."""
    return list(_list(report))


def format_seconds(seconds: float) -> str:
    """Return a time for people.

    >>> format_seconds(4.25), format_seconds(125), format_seconds(7260), format_seconds(200_000)
    ('4.2 s', '2 min 5 s', '2 h 1 min', '2 days 7 h')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    if whole < 2 * 86_400:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86_400} days {whole % 86_400 // 3600} h"


def _list(report: StudyReport) -> Iterator[tuple[str, str]]:
    if report.seconds:
        yield "working time", format_seconds(report.seconds)
    trained = [trial.seconds for trial in report.trials if trial.seconds is not None]
    if trained:
        yield "training, summed over trials", format_seconds(sum(trained))
    epochs = sum(trial.epochs or 0 for trial in report.trials)
    if epochs:
        yield "epochs trained", f"{epochs:,}"
        if report.most_epochs and (saved := _count_saved(report)) > 0:
            yield "epochs saved by ending trials early", f"about {saved:,}"
    ended = [trial for trial in report.trials if trial.state in ("complete", "pruned", "failed")]
    if report.seconds and ended:
        yield "trials an hour", format_number(round(3600 * len(ended) / report.seconds, 1))
    cpu = [trial.resources["cpu_s"] for trial in report.trials if "cpu_s" in trial.resources]
    if cpu:
        yield "CPU time of trials", format_seconds(sum(cpu))
    memory = [trial.resources["peak_mb"] for trial in report.trials if "peak_mb" in trial.resources]
    if memory:
        yield "largest memory of a worker", f"{max(memory):,.0f} MB"
    gpu = [trial.resources["peak_gpu_mb"] for trial in report.trials if "peak_gpu_mb" in trial.resources]
    if gpu:
        yield "largest memory on GPUs", f"{max(gpu):,.0f} MB"
    failed = sum(trial.seconds or 0.0 for trial in report.trials if trial.state == "failed")
    if failed:
        yield "spent on failed trials", format_seconds(failed)


def _count_saved(report: StudyReport) -> int:
    """Return the epochs that pruned trials did not train, by their own limit where the space has one."""
    saved = 0
    for trial in report.trials:
        own = trial.params.get("epochs")
        most = int(own) if isinstance(own, int) and not isinstance(own, bool) else report.most_epochs or 0
        if trial.state == "pruned" and trial.epochs is not None:
            saved += max(0, most - trial.epochs)
    return saved
