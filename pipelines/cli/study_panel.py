"""Panel of a running study on a terminal: a few lines that are redrawn in place."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from pipelines.cli.safe_console import make_text
from pipelines.supervisor.event_text import format_count, format_duration, format_trial_name
from pipelines.supervisor.sparkline import ASCII, BLOCKS, draw_sparkline
from pipelines.supervisor.study_progress import RunningProgress, StudyProgress

_COLORS = {"complete": "green", "failed": "red", "running": "cyan"}
_LABEL_WIDTH = 9  # of the longest label, and a gap
_LEAST_BAR, _MOST_BAR = 10, 40
_MOST_CURVE = 60
_OTHER_LINES = 12  # of the panel and of what was printed before it, which stays in sight
_NAMED_TRIALS = 4


class StudyPanel:
    """Panel that shows a study's progress at the moment when it is drawn.

    Args:
        progress: the progress, which may change between two drawings.
        clock: returns the time by which the progress counts.
    """

    def __init__(self, progress: StudyProgress, clock: Callable[[], float]) -> None:
        self._progress = progress
        self._clock = clock

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = options.max_width
        grid = Table.grid(padding=(0, 0), expand=False)
        grid.add_column(width=_LABEL_WIDTH, no_wrap=True, style="bold")
        grid.add_column(width=max(1, width - _LABEL_WIDTH), no_wrap=True, overflow="ellipsis")
        for label, shown in self._list_rows(width - _LABEL_WIDTH, options):
            grid.add_row(label, shown)
        yield grid
        yield from self._draw_trials(width, options)

    def _list_rows(self, width: int, options: ConsoleOptions) -> Iterable[tuple[str, RenderableType]]:
        progress = self._progress
        yield "trials", self._draw_trials_bar(width)
        if counts := progress.count_by_state():
            yield "", _join(((f"{count} {state}", _COLORS.get(state, "")) for state, count in counts.items()))
        if progress.best is not None:
            yield "best", self._draw_best(width, options.ascii_only)
        yield "pace", make_text(", ".join(self._list_pace()))
        if progress.running:
            yield "workers", make_text(self._describe_workers())
        if progress.phase is not None:
            done = f": {progress.phase.done} of {progress.phase.total} trainings" if progress.phase.total else ""
            yield "now", make_text(f"{progress.phase.name}{done}")

    def _draw_trials_bar(self, width: int) -> RenderableType:
        progress = self._progress
        text = f"{progress.ended} of {progress.started.budget}"
        return _draw_bar(progress.ended, progress.started.budget, width, text)

    def _draw_best(self, width: int, is_ascii: bool) -> Text:
        progress = self._progress
        value = f"{progress.best:.5g}{progress.name_best()}"
        name = f" {progress.started.metric}"
        # The curve is worth more than the name of the metric.
        room = min(width - len(value) - 2, _MOST_CURVE)
        curve = draw_sparkline(progress.curve, room, ASCII if is_ascii else BLOCKS)
        text = make_text(value, "green")
        if len(progress.curve) > 1:
            text.append(f"  {curve}")
        if len(text) + len(name) <= width:
            text.append(name, "dim")
        return text

    def _list_pace(self) -> Iterable[str]:
        progress, now_s = self._progress, self._clock()
        pace, left_s = progress.compute_pace(now_s), progress.estimate_left_s(now_s)
        if pace is not None:
            yield f"{pace:,.0f} trials an hour" if pace >= 10 else f"{pace:.1f} trials an hour"
        is_searching = progress.phase is None and progress.ended < progress.started.budget
        if is_searching and left_s is not None:
            # Before the first trial has ended only the budget's time is known.
            yield f"{'at most' if pace is None else 'about'} {format_duration(left_s)} left"
        if pace is None and left_s is None:
            yield "known once a trial has ended"
        if gain := progress.format_gain():
            yield f"expected gain {gain}"

    def _describe_workers(self) -> str:
        groups = self._progress.group_running()
        alone = groups.pop("", [])
        parts = [f"{fleet} with {format_count(len(numbers), 'trial')}" for fleet, numbers in groups.items()]
        names = [format_trial_name(number) for number in alone]
        parts += names if len(names) <= _NAMED_TRIALS else [f"{len(names)} trials alone"]
        return f"{self._progress.started.workers}: {', '.join(parts)}"

    def _draw_trials(self, width: int, options: ConsoleOptions) -> Iterable[RenderableType]:
        """Return a bar for each running trial, as far as there is room in the height."""
        running = sorted(self._progress.running.items())
        most = max(3, (options.height or options.size.height) - _OTHER_LINES)
        for number, trial in running[:most]:
            yield _draw_trial(number, trial, width)
        if len(running) > most:
            yield make_text(f"  and {len(running) - most} more", "dim")


def _draw_trial(number: int, trial: RunningProgress, width: int) -> RenderableType:
    epoch = (
        f"epoch {trial.epoch}/{trial.of}" if trial.of else "starting" if trial.epoch == 0 else f"epoch {trial.epoch}"
    )
    score = "" if trial.value is None else f"  {trial.value:.5g}"
    name = f"  {format_trial_name(number)}"
    grid = Table.grid(padding=(0, 0))
    grid.add_column(width=_LABEL_WIDTH, no_wrap=True)
    grid.add_column(width=max(1, width - _LABEL_WIDTH), no_wrap=True, overflow="ellipsis")
    grid.add_row(name, _draw_bar(trial.epoch, trial.of, width - _LABEL_WIDTH, f"{epoch}{score}", least_text=26))
    return grid


def _draw_bar(done: int, total: int | None, width: int, text: str, least_text: int = 0) -> RenderableType:
    """Return a bar with a text behind it; without a total it pulses."""
    room = width - max(len(text), least_text) - 2
    if room < _LEAST_BAR:
        return make_text(text)
    length = min(room, _MOST_BAR)
    grid = Table.grid(padding=(0, 0))
    grid.add_column(width=length + 2)
    grid.add_column(no_wrap=True, overflow="ellipsis")
    grid.add_row(ProgressBar(total=total, completed=done, width=length, pulse=total is None), make_text(text))
    return grid


def _join(parts: Iterable[tuple[str, str]]) -> Text:
    return Text(", ").join(make_text(text, style) for text, style in parts)
