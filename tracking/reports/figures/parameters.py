"""Figures of hyperparameters: importances, slices with the best regions, contour, rank, parallel coordinates."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import combinations

from search_spaces.values import Value
from tracking.reports.analysis.importances import Importance
from tracking.reports.analysis.regions import Region
from tracking.reports.content import ReportTrial, StudyReport
from tracking.reports.figures.drawn import describe_beyond, describe_drawn, join_notes, make_score_scale, select_drawn
from tracking.reports.figures.figure import Axis, Box, Dots, Figure, Label, Line, Mark, Panel
from tracking.reports.figures.palette import choose_shade
from tracking.reports.figures.scale import Scale, format_count, shorten, shorten_all

_MOST_SLICES = 9
_MOST_AXES = 10
_MOST_LINES = 300
_STEP, _WIDEST_STEP, _BESIDE_AXIS = 110, 170, 14  # pixels from one upright axis to the next
_LETTER = 6.2  # of a text on such an axis
_MOST_PAIRS = 6
_CELLS = 22
_BANDWIDTH = 0.09


def draw_importances(importances: Sequence[Importance]) -> Figure | None:
    """Return the figure; None where importances are not known."""
    shown = list(importances)[:15]
    if not shown:
        return None
    across = Scale(0.0, 1.12)  # room for the text of a share of 100 %
    height = 1 / len(shown)
    marks: list[Mark] = []
    ticks = []
    for place, each in enumerate(shown):
        middle = 1 - (place + 0.5) * height
        text = f"{each.name}: {each.share:.0%}, 90 % interval {each.low:.0%} to {each.high:.0%}"
        ends = [across.place(min(1.0, end)) for end in (each.low, each.high, each.share)]
        marks.append(Box("c0", 0, middle - 0.3 * height, ends[2], middle + 0.3 * height, text))
        marks.append(Line("ink", [(ends[0], middle), (ends[1], middle)], 1.6))
        marks.append(Label((max(ends), middle), f"{each.share:.0%}", "right"))
        ticks.append((middle, each.name))
    axis = across.make_axis("share of the importance (PED-ANOVA)", most=5)
    panel = Panel(axis, Axis("", ticks, has_grid=False), marks, size=(520, 76 + 26 * len(shown)), left=170)
    return Figure(
        name="parameter-importances",
        title="Importance of hyperparameters",
        summary=_summarize_importances(shown),
        panels=[panel],
        legend=[("c0", "share"), ("ink", "90 % interval over samples of the trials")],
    )


def _summarize_importances(shown: Sequence[Importance]) -> str:
    first = shown[0]
    text = f"{first.name} matters most, with {first.share:.0%} of the importance "
    text += f"(90 % interval {first.low:.0%} to {first.high:.0%})"
    rivals = [each.name for each in shown[1:] if each.high > first.low]
    if not rivals:
        return f"{text}."
    return f"{text}. That is uncertain: {', '.join(rivals[:3])} may matter as much."


def draw_slices(report: StudyReport, regions: Mapping[str, Region], order: Sequence[str]) -> Figure | None:
    """Return the figure of each parameter's values against the score; None where none varies.

    Args:
        report: the study.
        regions: the best region of each parameter, drawn as a band.
        order: names of the parameters, the most important first.
    """
    drawn = [trial for trial in select_drawn(report) if trial.is_complete]
    names = order[:_MOST_SLICES]
    if not drawn or not names:
        return None
    scores = [trial.score for trial in drawn if trial.score is not None]
    up = make_score_scale(report, scores)
    panels = []
    for name in names:
        holders = [trial for trial in drawn if name in trial.params]
        across = make_parameter_scale(report, name, [trial.params[name] for trial in holders])
        marks: list[Mark] = []
        if (region := regions.get(name)) is not None and region.low is not None and region.high is not None:
            marks.append(Box("band", across.place(region.low), 0, across.place(region.high), 1, region.describe()))
        for colour, found in (
            ("trial", [trial for trial in holders if trial.number != report.winner]),
            ("winner", [trial for trial in holders if trial.number == report.winner]),
        ):
            points = [(across.place(trial.params[name]), up.place(trial.score)) for trial in found]
            numbers = [trial.number for trial in found]
            marks.append(Dots(colour, points, numbers, 9 if colour == "winner" else 5.5))
        panels.append(
            Panel(across.make_axis(name, most=5), up.make_axis(report.metric, most=5), marks, size=(340, 240))
        )
    left_out = len(order) - len(names)
    more = f"Left out: {format_count(left_out, 'further parameter')}, the least important." if left_out else ""
    return Figure(
        name="slices",
        title="Values against the score",
        summary=f"{report.metric} of the complete trials by the values of {', '.join(names)}.",
        panels=panels,
        legend=[("trial", "complete trial"), ("winner", "winner"), ("band", "where the best trials are")],
        note=join_notes(more, describe_drawn(report), describe_beyond(scores, up)),
    )


def draw_contour(report: StudyReport, order: Sequence[str]) -> Figure | None:
    """Return the figure of the score over the two most important numbers; None where there are not two."""
    names = [name for name in order if _is_numeric(report, name)][:2]
    drawn = [
        trial for trial in select_drawn(report) if trial.is_complete and all(name in trial.params for name in names)
    ]
    if len(names) < 2 or len(drawn) < 10:
        return None
    across, up = (make_parameter_scale(report, name, [trial.params[name] for trial in drawn]) for name in names)
    places = [(across.place(trial.params[names[0]]), up.place(trial.params[names[1]])) for trial in drawn]
    cells = _smooth(places, _rank_shares(report, drawn))
    marks: list[Mark] = [
        # Over its neighbours by a little: rounding to pixels would leave lines between them.
        Box(choose_shade(share), column / _CELLS, row / _CELLS, (column + 1.1) / _CELLS, (row + 1.1) / _CELLS)
        for (column, row), share in cells.items()
    ]
    marks.append(Dots("ink", places, [trial.number for trial in drawn], 3.5))
    if (winner := report.winning) is not None and all(name in winner.params for name in names):
        at = (across.place(winner.params[names[0]]), up.place(winner.params[names[1]]))
        marks.append(Dots("winner", [at], [winner.number], 10))
    panel = Panel(across.make_axis(names[0]), up.make_axis(names[1]), marks, size=(520, 380))
    return Figure(
        name="contour",
        title="Score over the two most important numbers",
        summary=f"Smoothed rank of {report.metric} over {names[0]} and {names[1]}; stronger colours are better.",
        panels=[panel],
        legend=[("q8", "best"), ("q4", "middle"), ("q0", "worst"), ("winner", "winner")],
        note=join_notes("Empty where no trial is near.", describe_drawn(report)),
    )


def draw_rank(report: StudyReport, order: Sequence[str]) -> Figure | None:
    """Return the figure of pairs of parameters, coloured by the rank of the score; None where there is no pair."""
    names = list(order[:4])
    drawn = [trial for trial in select_drawn(report) if trial.is_complete]
    if len(names) < 2 or len(drawn) < 3:
        return None
    shares = dict(zip((trial.number for trial in drawn), _rank_shares(report, drawn), strict=True))
    panels = []
    for one, other in list(combinations(names, 2))[:_MOST_PAIRS]:
        holders = [trial for trial in drawn if one in trial.params and other in trial.params]
        if len(holders) < 3:
            continue
        across, up = (
            make_parameter_scale(report, name, [each.params[name] for each in holders]) for name in (one, other)
        )
        # The best last, so that they are on top.
        holders.sort(key=lambda trial: shares[trial.number])
        by_shade: dict[str, list[ReportTrial]] = {}
        for trial in holders:
            by_shade.setdefault(choose_shade(shares[trial.number]), []).append(trial)
        marks = [
            Dots(
                shade,
                [(across.place(trial.params[one]), up.place(trial.params[other])) for trial in found],
                [trial.number for trial in found],
                6.5,
            )
            for shade, found in by_shade.items()
        ]
        panels.append(Panel(across.make_axis(one, most=5), up.make_axis(other, most=5), marks, size=(340, 240)))
    if not panels:
        return None
    return Figure(
        name="rank",
        title="Pairs of hyperparameters by rank",
        summary=f"Complete trials by pairs of {', '.join(names)}; stronger colours have a better {report.metric}.",
        panels=panels,
        legend=[("q8", "best"), ("q4", "middle"), ("q1", "worst")],
        note=describe_drawn(report),
    )


def draw_parallel(report: StudyReport, order: Sequence[str]) -> Figure | None:
    """Return the figure with an axis for each parameter and the score; None where fewer than two vary."""
    names = list(order[:_MOST_AXES])
    drawn = [trial for trial in select_drawn(report, _MOST_LINES) if trial.is_complete]
    if len(names) < 2 or len(drawn) < 2:
        return None
    scores = make_score_scale(report, [trial.score for trial in drawn if trial.score is not None])
    scales = [make_parameter_scale(report, name, _list_values(drawn, name)) for name in names]
    count = len(names) + 1
    places = [(index + 0.5) / count for index in range(count)]
    marks: list[Mark] = []
    shares = dict(zip((trial.number for trial in drawn), _rank_shares(report, drawn), strict=True))
    for trial in sorted(drawn, key=lambda trial: shares[trial.number]):
        heights = [
            scale.place(trial.params[name]) if name in trial.params else math.nan
            for name, scale in zip(names, scales, strict=True)
        ]
        heights.append(min(1.0, max(0.0, scores.place(trial.score))))
        points = [(x, y) if math.isfinite(y) else None for x, y in zip(places, heights, strict=True)]
        is_winner = trial.number == report.winner
        colour = "winner" if is_winner else choose_shade(shares[trial.number])
        marks.append(Line(colour, points, 2.6 if is_winner else 1.1, trial.number))
    longest = max((len(text) for scale in scales for _, text in scale.make_axis(most=4).ticks), default=0)
    step = max(640 / count, min(_WIDEST_STEP, max(_STEP, longest * _LETTER + _BESIDE_AXIS)))
    for x, name, scale in zip(places, [*names, report.metric], [*scales, scores], strict=True):
        marks += _draw_upright_axis(x, name, scale, int((step - _BESIDE_AXIS) / _LETTER))
    width = round(step * count)
    panel = Panel(Axis(), Axis(), marks, size=(width, 380), left=14, bottom=34, has_frame=False)
    left_out = len(order) - len(names)
    more = f"Left out: {format_count(left_out, 'further parameter')}." if left_out else ""
    return Figure(
        name="parallel-coordinates",
        title="Parallel coordinates",
        summary=f"A line a trial through its values of {', '.join(names)} and its {report.metric}; stronger colours "
        "are better. A line has a gap where a trial lacks a parameter.",
        panels=[panel],
        legend=[("q8", "best"), ("q4", "middle"), ("q1", "worst"), ("winner", "winner")],
        note=join_notes(more, describe_drawn(report, _MOST_LINES)),
    )


def make_parameter_scale(report: StudyReport, name: str, values: Sequence[Value]) -> Scale:
    """Return the scale of a parameter's values: over its declared range where that is known."""
    declared = next((each for each in report.parameters if each.name == name), None)
    if declared is not None and declared.low is not None and declared.high is not None:
        numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
        if len(numbers) == len(values):
            ends = [declared.low, declared.high, *map(float, numbers)]
            found = Scale.from_numbers(ends, is_log=declared.is_log)
            return Scale(found.low, found.high, found.is_log, is_whole=declared.is_whole)
    if declared is not None and declared.choices and not all(map(_is_plain_number, declared.choices)):
        names = tuple(dict.fromkeys(map(str, (*declared.choices, *values))))
        return Scale(0.0, 1.0, names=names)
    return Scale.from_values(values)


def _draw_upright_axis(x: float, name: str, scale: Scale, letters: int) -> list[Mark]:
    marks: list[Mark] = [Line("line", [(x, 0), (x, 1)], 1.2)]
    ticks = scale.make_axis(most=4).ticks
    cut = shorten_all([text for _, text in ticks], letters)
    for (place, text), fitting in zip(ticks, cut, strict=True):
        marks.append(Label((x, place), fitting, "right", "quiet", "" if fitting == text else text))
    fitting = shorten(name, letters + 1)
    marks.append(Label((x, -0.015), fitting, "below", whole="" if fitting == name else name))
    return marks


def _list_values(trials: Sequence[ReportTrial], name: str) -> list[Value]:
    return [trial.params[name] for trial in trials if name in trial.params]


def _is_numeric(report: StudyReport, name: str) -> bool:
    values = _list_values(report.complete, name)
    return len(set(map(str, values))) > 2 and all(map(_is_plain_number, values))


def _is_plain_number(value: Value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _rank_shares(report: StudyReport, trials: Sequence[ReportTrial]) -> list[float]:
    """Return the rank of each trial's score as a share: 1 for the best, 0 for the worst."""
    ordered = sorted(trials, key=lambda trial: -report.sign * (trial.score or 0.0))
    last = max(1, len(ordered) - 1)
    ranks = {trial.number: place / last for place, trial in enumerate(ordered)}
    return [ranks[trial.number] for trial in trials]


def _smooth(places: Sequence[tuple[float, float]], shares: Sequence[float]) -> dict[tuple[int, int], float]:
    """Return the mean share near each cell, by a Gaussian kernel; without cells that no trial is near."""
    import numpy as np

    points, values = np.array(places), np.array(shares)
    found = {}
    for column in range(_CELLS):
        for row in range(_CELLS):
            middle = (np.array([column, row]) + 0.5) / _CELLS
            weights = np.exp(-((points - middle) ** 2).sum(axis=1) / (2 * _BANDWIDTH**2))
            if weights.max() > 0.25:
                found[column, row] = float((weights * values).sum() / weights.sum())
    return found


def describe_order(importances: Sequence[Importance], report: StudyReport) -> list[str]:
    """Return the names of the parameters that vary, the most important first."""
    known = [each.name for each in importances]
    varied = [parameter.name for parameter in report.varied]
    return [*(name for name in known if name in varied), *(name for name in varied if name not in known)]
