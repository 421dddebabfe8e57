"""Comparison of studies: their spaces, data and results side by side, as plain tables and one figure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from search_spaces.values import Value
from tracking.reports.analysis.certainty import assess_certainty
from tracking.reports.analysis.cost import format_seconds
from tracking.reports.content import ReportTrial, StudyReport
from tracking.reports.figures.drawn import list_leaders, sort_by_end
from tracking.reports.figures.figure import Dots, Figure, Line, Mark, Panel, Point
from tracking.reports.figures.history import choose_unit
from tracking.reports.figures.palette import choose_series
from tracking.reports.figures.scale import Scale, format_number
from tracking.reports.page import describe_range

Row = Sequence[Value]
_DIGEST = 12


@dataclass(frozen=True)
class SharedScores:
    """Scores of the winners on the same rows.

    Attributes:
        study: the study whose rows these are.
        part: the part of its data.
        rows: number of these rows.
        scores: score of each study's winner; absent where it could not be scored.
        notes: for each study what to know of its score, such as why it has none.
    """

    study: str
    part: str
    rows: int
    metric: str
    scores: Mapping[str, float] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)

    def list_rows(self, names: Sequence[str]) -> list[Row]:
        """Return a line for each study: its winner's score on these rows, and what to know of it."""
        return [(name, self.scores.get(name), self.notes.get(name, "")) for name in names]


@dataclass(frozen=True)
class StudyComparison:
    """Studies side by side; `shared` is None where no winner has a score on common rows."""

    reports: Sequence[StudyReport]
    shared: SharedScores | None = None

    @property
    def names(self) -> list[str]:
        """Names of the studies."""
        return [report.study for report in self.reports]


@dataclass(frozen=True)
class ComparedSpace:
    """What the studies searched of one hyperparameter.

    Attributes:
        searched: for each study its range, with the winner's value.
        same: whether the ranges are the same.
    """

    parameter: str
    searched: Mapping[str, str]
    same: bool


@dataclass(frozen=True)
class ComparisonTables:
    """Comparison in plain values.

    Attributes:
        studies: result and cost of each study, under the heads of `OVERVIEW`.
        shared: scores of the winners on the same rows; None where no winner has one.
        data: data of each study, and whether they are those of the first.
        spaces: each hyperparameter.
    """

    studies: Sequence[Mapping[str, Value]]
    shared: SharedScores | None
    data: Sequence[Mapping[str, Value]]
    spaces: Sequence[ComparedSpace]


OVERVIEW = ("study", "state", "metric", "best", "95 % interval", "trial", "trials", "epochs", "took", "beats baselines")
"""Heads of the table of `list_overview`."""

_DATA = ("study", "source", "digest", "rows", "compared")


def make_tables(comparison: StudyComparison) -> ComparisonTables:
    """Return a comparison as plain values."""
    names = comparison.names
    return ComparisonTables(
        [dict(zip(OVERVIEW, row, strict=True)) for row in list_overview(comparison)],
        comparison.shared,
        [dict(zip(_DATA, row, strict=True)) for row in list_data(comparison)],
        [
            ComparedSpace(str(row[0]), dict(zip(names, map(str, row[1:-1]), strict=True)), row[-1] == "same")
            for row in list_spaces(comparison)
        ],
    )


def list_overview(comparison: StudyComparison) -> list[Row]:
    """Return a line for each study: its result and what it cost."""
    return [_summarize(report) for report in comparison.reports]


def list_shared(comparison: StudyComparison) -> list[Row]:
    """Return a line for each study: its winner's score on common rows, and what to know of it."""
    return [] if comparison.shared is None else comparison.shared.list_rows(comparison.names)


def list_data(comparison: StudyComparison) -> list[Row]:
    """Return a line for each study: its data, and whether they are those of the first."""
    first = comparison.reports[0].digest
    return [
        (
            report.study,
            report.source,
            report.digest[:_DIGEST],
            ", ".join(f"{count:,} {part}" for part, count in report.data.part_rows.items()),
            "" if report is comparison.reports[0] else _compare_digests(report.digest, first),
        )
        for report in comparison.reports
    ]


def list_spaces(comparison: StudyComparison) -> list[Row]:
    """Return a line for each hyperparameter: what each study searched, and the value of its winner."""
    declared = [{parameter.name: parameter for parameter in report.parameters} for report in comparison.reports]
    rows: list[Row] = []
    for name in dict.fromkeys(name for of_study in declared for name in of_study):
        cells = []
        for report, of_study in zip(comparison.reports, declared, strict=True):
            searched = describe_range(of_study[name]) if name in of_study else "not searched"
            winner = report.winning
            value = f"; winner {_format(winner.params[name])}" if winner and name in winner.params else ""
            cells.append(f"{searched}{value}")
        is_same = len({cell.partition(";")[0] for cell in cells}) == 1
        rows.append((name, *cells, "same" if is_same else "different"))
    return rows


def draw_comparison(comparison: StudyComparison) -> Figure | None:
    """Return the figure of each study's best so far; None without a complete trial."""
    first = comparison.reports[0]
    alike = [each for each in comparison.reports if (each.metric, each.direction) == (first.metric, first.direction)]
    drawn = [report for report in alike if list_leaders(report)]
    if not drawn:
        return None
    panels = [_draw_panel(drawn, "by trial", "trials", [_count_trials(report) for report in drawn])]
    epochs = [_count_epochs(report) for report in drawn]
    if all(places and max(places.values()) > 0 for places in epochs):
        panels.append(_draw_panel(drawn, "by epochs spent", "epochs", epochs))
    times = [_count_seconds(report) for report in drawn]
    if all(times):
        unit, seconds = choose_unit(max(max(places.values()) for places in times))
        scaled = [{number: at / seconds for number, at in places.items()} for places in times]
        panels.append(_draw_panel(drawn, "by time", unit, scaled))
    left_out = [report.study for report in comparison.reports if report not in drawn]
    best = min(drawn, key=lambda report: report.sign * (list_leaders(report)[-1].score or 0.0))
    score = format_number(list_leaders(best)[-1].score or 0.0)
    return Figure(
        name="best-so-far",
        title="Best so far of each study",
        summary=f"{first.metric} of the best trial so far; {best.study} has the best in the end, {score}.",
        panels=panels,
        legend=[(choose_series(place), report.study) for place, report in enumerate(drawn)],
        note=f"Without {', '.join(left_out)}: another objective, or no complete trial." if left_out else "",
    )


def _summarize(report: StudyReport) -> Row:
    winner, certainty = report.winning, assess_certainty(report)
    interval = ""
    if certainty is not None and certainty.interval is not None:
        interval = f"{certainty.name} {format_number(certainty.interval[0])} to {format_number(certainty.interval[1])}"
    beats = "" if not report.baselines or winner is None else "no" if report.unbeaten else "yes"
    return (
        report.study,
        report.state,
        f"{report.metric} ({report.direction})",
        winner.score if winner else None,
        interval,
        winner.number if winner else None,
        len(report.trials),
        sum(trial.epochs or 0 for trial in report.trials),
        format_seconds(report.seconds) if report.seconds else "",
        beats,
    )


def _compare_digests(digest: str, first: str) -> str:
    if not digest or not first:
        return "unknown"
    return "the same data and split" if digest == first else "other data, or another split"


def _draw_panel(reports: Sequence[StudyReport], title: str, unit: str, places: Sequence[Mapping[int, float]]) -> Panel:
    leaders = [
        [trial for trial in list_leaders(report) if trial.number in at]
        for report, at in zip(reports, places, strict=True)
    ]
    up = Scale.from_numbers(_list_scores(leaders))
    longest = max((max(at.values()) for at in places if at), default=1.0)
    across = Scale(0.0, max(longest * 1.02, 1e-6), is_whole=unit in ("trials", "epochs"))
    marks: list[Mark] = []
    for place, (of_study, at) in enumerate(zip(leaders, places, strict=True)):
        marks += _trace(of_study, at, across, up, choose_series(place))
    return Panel(across.make_axis(unit), up.make_axis(reports[0].metric), marks, title)


def _trace(
    leaders: Sequence[ReportTrial], at: Mapping[int, float], across: Scale, up: Scale, colour: str
) -> Iterator[Mark]:
    points: list[Point | None] = []
    for trial in leaders:
        place = (across.place(at[trial.number]), up.place(trial.score))
        last = points[-1] if points else None
        points += [(place[0], last[1]), place] if last is not None else [place]
    if not points:
        return
    end = points[-1]
    assert end is not None
    # As far as the study went, not as far as the longest one.
    yield Line(colour, [*points, (across.place(max(at.values())), end[1])], 2.2)
    yield Dots(colour, [end], size=8)


def _list_scores(leaders: Sequence[Sequence[ReportTrial]]) -> list[float]:
    """Return the scores to show: without the first ones of each study, which may be far off."""
    scores = [
        trial.score for of_study in leaders for trial in of_study[len(of_study) // 3 :] if trial.score is not None
    ]
    return scores or [trial.score for of_study in leaders for trial in of_study if trial.score is not None]


def _count_trials(report: StudyReport) -> dict[int, float]:
    return {trial.number: float(place) for place, trial in enumerate(sort_by_end(report.complete), start=1)}


def _count_epochs(report: StudyReport) -> dict[int, float]:
    ordered = sort_by_end([trial for trial in report.trials if trial.ended is not None])
    return dict(
        zip((trial.number for trial in ordered), accumulate(float(trial.epochs or 0) for trial in ordered), strict=True)
    )


def _count_seconds(report: StudyReport) -> dict[int, float]:
    ordered = [trial for trial in report.trials if trial.ended is not None and trial.started is not None]
    start = min((trial.started or 0.0 for trial in ordered), default=0.0)
    return {trial.number: (trial.ended or 0.0) - start for trial in ordered}


def _format(value: Value) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return format_number(float(value))
    return str(value)
