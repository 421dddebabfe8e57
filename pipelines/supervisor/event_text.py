"""Text of a study's events: one line an event, and the short forms of numbers, durations and metrics in it.

Plain strings without colors or widths: the log file of a study, the terminal and the service's messages share them.
"""

from __future__ import annotations

from collections.abc import Mapping

from pipelines.data.prepared import DataSummary
from pipelines.supervisor import events


def format_opening(event: events.SearchStarted) -> str:
    """Return the facts that are known when the search starts, in lines; those of the data for a new study only."""
    rows = ", ".join(f"{count} {part}" for part, count in event.data.rows.items() if count)
    search = f"{event.objective.direction} {event.objective.metric} {_format_budget(event)}"
    lines = [
        f"{event.study}: {_name_task(event.data)}, rows: {rows}",
        *(event.data.report.list_lines() if event.data.report and not event.done else ()),
        # A study that continues has shown the notes of its preparation, but not those of this run.
        *(f"note: {note}" for note in (event.data.unreached if event.done else (*event.data.notes, *event.notes))),
        f"{search}, {format_count(event.workers, 'worker')}",
        *([event.layout] if event.layout else []),
        *event.combinations,
        *([f"trials train {event.trained}"] if event.trained else []),
        *([f"sampler {event.sampling}"] if event.sampling else []),
        *([f"pruner {event.pruning}"] if event.pruning else []),
        *([event.starting] if event.starting else []),
    ]
    return "\n".join(lines)


def _name_task(data: DataSummary) -> str:
    return data.describe_task() if data.task.kind == "custom" else data.task.kind


def _format_budget(event: events.SearchStarted) -> str:
    budget = format_count(event.budget, "trial")
    if event.done > event.budget:  # a smaller budget than that of an earlier run takes no trial back
        return f"over {budget}: {event.done} have ended already"
    return f"going on after {event.done} of {budget}" if event.done else f"over {budget}"


def format_trial_end(event: events.TrialEnded) -> str:
    """Return a trial's end in one line."""
    value = "" if event.value is None else f" {event.value:.5g}"
    reason = f": {event.reason}" if event.reason else ""
    seconds = "" if event.seconds is None else f" in {format_duration(event.seconds)}"
    best = "  *best*" if event.is_best else ""
    return f"{format_trial_name(event.number)} {event.state}{value}{seconds}{reason}{best}"


def format_retraining_end(event: events.RetrainingEnded) -> str:
    """Return the end of a retraining in one line."""
    value = "" if event.value is None else f" {event.value:.5g}"
    reason = f": {event.reason}" if event.reason else ""
    name = f"{format_trial_name(event.number)} {event.retraining}"
    return f"{name} {event.state}{value} in {format_duration(event.seconds)}{reason}"


def format_event(event: events.StudyEvent) -> str | None:
    """Return the line of an event other than the start and the end of trials; None where there is none."""
    if isinstance(event, events.BaselinesReady):
        return f"baselines: {event.baselines.describe()}"
    if isinstance(event, events.TrialTriedAgain):
        again = f"goes on, attempt {event.attempt} of {event.of}"
        return f"{format_trial_name(event.number)} lost its worker: {event.reason}; {again}"
    if isinstance(event, events.TrialPaused):
        return f"{format_trial_name(event.number)} {event.reason}: {event.value:.5g}"
    if isinstance(event, events.Noted):
        return f"note: {event.note}"
    if isinstance(event, events.FleetDivided):
        return _format_division(event)
    if isinstance(event, events.Watching):
        seen = f"seeing for {event.seconds:.0f} s whether it is alive"
        return f"the study is held by {event.holder}: {seen}"
    if isinstance(event, events.EngineLost):
        return _format_loss(event)
    if isinstance(event, events.EngineRestored):
        return f"it is back after {format_duration(event.seconds)}: the trials go on from their checkpoints"
    if isinstance(event, events.Delivering):
        return _format_delivery(event) if event.waiting else None
    return _format_selection(event)


def _format_division(event: events.FleetDivided) -> str:
    if not event.trials:
        return f"a fleet failed after its trials had ended: {event.reason}"
    failed = f"a fleet of {format_count(event.trials, 'trial')} failed: {event.reason}"
    if event.trials == event.alone:
        return f"{failed}; {'they train' if event.alone > 1 else 'it trains'} alone, from the beginning"
    if event.trials == 1:
        return f"{failed}; it goes on in another one"
    further = f", {event.alone} of them alone" if event.alone else ""
    return f"{failed}; they go on in smaller ones{further}"


def _format_loss(event: events.EngineLost) -> str:
    line = format_wait(event.reason, event.seconds)
    return f"{line}; to pause the study instead: Ctrl-C, or kerastudy pause {event.study}"


def format_wait(reason: str, seconds: float) -> str:
    """Return the line of a study that waits for a lost engine."""
    return f"{reason}; waiting up to {format_duration(seconds)} for it to come back (resources.reconnect)"


def _format_selection(event: events.StudyEvent) -> str | None:
    """Return the line of an event of the final selection."""
    if isinstance(event, events.FinalistsChosen):
        return _format_finalists(event)
    if isinstance(event, events.RetrainingEnded):
        return format_retraining_end(event)
    if isinstance(event, events.RefitComparing):
        to_go = f"{format_count(event.trainings, 'training')} to go"
        return f"{format_trial_name(event.number)} is trained again to compare it with a refit: {to_go}"
    if isinstance(event, events.RefitCompared):
        return f"{format_trial_name(event.number)} is compared with a refit: {event.reason}"
    if isinstance(event, events.EnsembleTraining):
        name = format_trial_name(event.number)
        return f"{name} is trained again for an ensemble: {event.trainings} {event.what} to go"
    if isinstance(event, events.EnsembleDecided):
        what = "is averaged with further trainings" if event.is_as_good else "is not averaged with further trainings"
        return f"{format_trial_name(event.number)} {what}: {event.reason}"
    return None


def _format_finalists(event: events.FinalistsChosen) -> str:
    names = ", ".join(map(format_trial_name, event.numbers))
    if not names:
        return f"selection: auto trains no trial again: {event.reason}"
    if not event.trainings:
        return f"{names} cannot be distinguished: {event.reason}"
    most = "at most " if event.reason else ""
    cost = f", about {format_count(event.epochs, 'epoch')} and {event.seconds:.3g} s" if event.epochs else ""
    reason = f" ({event.reason})" if event.reason else ""
    to_go = f"{most}{format_count(event.trainings, 'training')} to go{cost}"
    purpose = "are trained again to choose the winner"
    if len(event.numbers) == 1:
        # It wins in any case; with `selection: auto` the rivals have been trained before.
        purpose = f"is trained again {'to choose the winner' if event.reason else 'to show how reliable its score is'}"
    return f"{names} {purpose}: {to_go}{reason}"


def _format_delivery(event: events.Delivering) -> str:
    error = f" ({event.error})" if event.error else ""
    return f"sending {format_count(event.waiting, 'record')} to MLflow{error}"


def format_end(event: events.StudyEnded) -> list[str]:
    """Return the end of a study in a few lines."""
    renamed = {"running": "to be run again"} if event.state == "paused" else {}
    counts = ", ".join(f"{count} {renamed.get(state, state)}" for state, count in event.trials.items())
    counted_trials = f" ({counts})" if counts else ""
    cost = f"{format_duration(event.seconds)} and {format_count(event.epochs, 'epoch')} of its trials"
    after = cost if event.epochs else format_duration(event.seconds)
    lines = [f"{event.study} {event.state}: {event.reason}{counted_trials} after {after}"]
    if event.winner is not None:
        test = f"; on the test rows: {format_metrics(event.test)}" if event.test else ""
        mean = f" (mean {event.finalists[0].describe()})" if event.finalists else ""
        lines.append(f"best: {format_trial_name(event.winner)} with {event.metric} {event.value:.6g}{mean}{test}")
    lines += [reason for reason in (event.refit_reason, event.ensemble_reason) if reason]
    if event.baselines and (scores := event.baselines.describe()):
        lines.append(f"baselines: {scores}")
    if event.unbeaten and event.winner is not None:
        lines.append(f"note: {format_trial_name(event.winner)} is {event.unbeaten}")
    return lines


def format_trial_name(number: int) -> str:
    """Return a trial's short name, as MLflow shows it behind the study's."""
    return f"t{number:03d}"


def format_count(count: int, noun: str) -> str:
    """Return a number of things in words.

    >>> format_count(1, "trial"), format_count(2, "trial")
    ('1 trial', '2 trials')
    """
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def format_duration(seconds: float) -> str:
    """Return a duration for people.

    >>> [format_duration(s) for s in (0.42, 7.5, 75, 5400)]
    ['0.4s', '7.5s', '1m15s', '1h30m']
    """
    if seconds < 60:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}m{rest:02d}s" if minutes < 60 else f"{minutes // 60}h{minutes % 60:02d}m"


def format_bytes(size: float) -> str:
    """Return a size for people.

    >>> [format_bytes(size) for size in (900_000, 12_400_000, 3.25e9)]
    ['0.9 MB', '12.4 MB', '3.2 GB']
    """
    return f"{size / 1e6:.1f} MB" if size < 1e9 else f"{size / 1e9:.1f} GB"


def format_use(cpu_s: float | None, memory_bytes: int | None, gpu_bytes: int | None) -> str:
    """Return the resources that a training used, as far as they are known.

    >>> format_use(75.0, 812_000_000, None)
    '1m15s of CPU, 812.0 MB at most'
    """
    parts = [
        f"{format_duration(cpu_s)} of CPU" if cpu_s is not None else "",
        f"{format_bytes(memory_bytes)} at most" if memory_bytes is not None else "",
        f"{format_bytes(gpu_bytes)} of GPU memory at most" if gpu_bytes is not None else "",
    ]
    return ", ".join(part for part in parts if part)


def format_cell(value: object) -> str:
    """Return a value as a table shows it; true and false as a study file writes them."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.5g}" if isinstance(value, float) else str(value)


def format_metrics(metrics: Mapping[str, float]) -> str:
    """Return metrics in one line."""
    return ", ".join(f"{name} {value:.5g}" for name, value in metrics.items())
