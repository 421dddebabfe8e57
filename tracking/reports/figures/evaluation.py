"""Figures of the winner's predictions: confusion matrix, ROC, calibration, residuals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from tracking.reports.content import Evaluation, PartEvaluation
from tracking.reports.figures.drawn import join_notes
from tracking.reports.figures.figure import Axis, Box, Dots, Figure, Label, Line, Mark, Panel
from tracking.reports.figures.palette import choose_series, choose_shade
from tracking.reports.figures.scale import Scale, format_number, shorten

_MOST_CLASSES = 20
_MOST_ROC = 6
_MOST_OUTPUTS = 4
_WITH_NUMBERS = 12
_KINDS = ("forecasts", "forecast-steps", "confusion-matrix", "roc", "calibration", "residuals")


def is_of_evaluation(name: str) -> bool:
    """Return whether a figure's name is one of those below: its kind, and the output of a head behind it."""
    return any(name == kind or name.startswith(f"{kind}-") for kind in _KINDS)


def draw_evaluation(evaluation: Evaluation | None) -> Iterator[Figure]:
    """Yield the figures of the winner's predictions, with a panel for each part of the data; of several heads each."""
    if evaluation is None:
        return
    for figure in (
        _draw_confusion(evaluation), _draw_roc(evaluation), _draw_calibration(evaluation), _draw_residuals(evaluation)
    ):  # fmt: skip
        if figure is not None:
            yield figure
    for output, head in evaluation.heads.items():
        for figure in draw_evaluation(head):
            title = figure.title.replace("of the winner", f"of the winner, {shorten(head.target, 40)}")
            yield replace(figure, name=f"{figure.name}-{output.replace('_', '-').lower()}", title=title)


def list_confused(evaluation: Evaluation, part: PartEvaluation, most: int = 3) -> list[str]:
    """Return the most frequent mistakes in words."""
    mistakes = [
        (count, evaluation.classes[true], evaluation.classes[guess])
        for true, row in enumerate(part.confusion)
        for guess, count in enumerate(row)
        if true != guess and count
    ]
    return [
        f"{shorten(true)} taken for {shorten(guess)} in {count} rows"
        for count, true, guess in sorted(mistakes, key=lambda each: -each[0])[:most]
    ]


def _draw_confusion(evaluation: Evaluation) -> Figure | None:
    panels, notes = [], []
    parts = {name: part for name, part in evaluation.parts.items() if part.confusion}
    for name, part in parts.items():
        classes = evaluation.classes[:_MOST_CLASSES]
        panels.append(
            _draw_matrix(
                f"{name}, {part.rows:,} rows", [row[: len(classes)] for row in part.confusion[: len(classes)]], classes
            )
        )
    if not panels:
        return None
    if len(evaluation.classes) > _MOST_CLASSES:
        notes.append(f"The first {_MOST_CLASSES} of {len(evaluation.classes)} classes are drawn.")
    first = next(iter(parts.values()))
    right = sum(row[place] for place, row in enumerate(first.confusion))
    mistakes = list_confused(evaluation, first)
    return Figure(
        name="confusion-matrix",
        title="Confusion matrix of the winner",
        summary=f"{right:,} of {first.rows:,} {next(iter(parts))} rows are predicted right"
        + (f"; most often {', '.join(mistakes)}." if mistakes else "."),
        panels=panels,
        legend=[("q8", "all rows of a true class"), ("q0", "none")],
        note=" ".join(notes),
    )


def _draw_matrix(title: str, counts: Sequence[Sequence[int]], classes: Sequence[str]) -> Panel:
    size, marks = len(classes), list[Mark]()
    for true, row in enumerate(counts):
        total = max(1, sum(row))
        for guess, count in enumerate(row):
            top = 1 - true / size
            text = f"true {classes[true]}, predicted {classes[guess]}: {count} rows, {count / total:.0%}"
            marks.append(Box(choose_shade(count / total), guess / size, top - 1 / size, (guess + 1) / size, top, text))
            if size <= _WITH_NUMBERS and count:
                colour = "ground" if count / total > 0.5 else "ink"
                marks.append(Label(((guess + 0.5) / size, top - 0.5 / size), str(count), colour=colour))
    ticks = [((place + 0.5) / size, " ".join(name.split())) for place, name in enumerate(classes)]
    down = [(1 - place, text) for place, text in ticks]
    side = min(560, max(330, 150 + 32 * size))
    # Names that are too long for their column stand upright.
    is_upright = max(len(text) for _, text in ticks) * 6.5 > (side - 118) / size - 4
    return Panel(
        Axis("predicted", ticks, has_grid=False), Axis("true", down, has_grid=False), marks, title,
        size=(side, side - 20), left=104, bottom=84 if is_upright else 46,
    )  # fmt: skip


def _draw_roc(evaluation: Evaluation) -> Figure | None:
    panels = []
    parts = {name: part for name, part in evaluation.parts.items() if part.roc}
    for name, part in parts.items():
        across = Scale(0.0, 1.0)
        marks: list[Mark] = [Line("line", [(0, 0), (1, 1)], 1, is_dashed=True)]
        for place, label in enumerate(_choose_worst(part)):
            marks.append(Line(choose_series(place), [(x, y) for x, y in part.roc[label]], 2))
        axes = across.make_axis("false positives", most=5), across.make_axis("true positives", most=5)
        panels.append(Panel(*axes, marks, f"{name}, {part.rows:,} rows", size=(400, 320)))
    if not panels:
        return None
    first = next(iter(parts.values()))
    shown = _choose_worst(first)
    is_cut = len(shown) < len(first.roc)
    return Figure(
        name="roc",
        title="ROC of the winner",
        summary="Area below the curve: "
        + ", ".join(f"{shorten(label)} {first.auc.get(label, 0):.3f}" for label in shown)
        + f" ({next(iter(parts))} rows).",
        panels=panels,
        legend=[(choose_series(place), shorten(label)) for place, label in enumerate(shown)],
        note=f"The {len(shown)} classes with the smallest area are drawn, each against the rest." if is_cut else "",
    )


def _choose_worst(part: PartEvaluation) -> list[str]:
    return sorted(part.roc, key=lambda label: part.auc.get(label, 1.0))[:_MOST_ROC]


def _draw_calibration(evaluation: Evaluation) -> Figure | None:
    panels = []
    parts = {name: part for name, part in evaluation.parts.items() if part.calibration}
    for name, part in parts.items():
        scale = Scale(0.0, 1.0)
        largest = max(count for _, _, count in part.calibration)
        marks: list[Mark] = [Line("line", [(0, 0), (1, 1)], 1, is_dashed=True)]
        for confidence, _, count in part.calibration:
            text = f"{count} rows at a confidence of about {confidence:.0%}"
            marks.append(Box("band", confidence - 0.03, 0, confidence + 0.03, 0.25 * count / largest, text))
        marks.append(Line("best", [(x, y) for x, y, _ in part.calibration], 2))
        marks.append(Dots("best", [(x, y) for x, y, _ in part.calibration], size=8))
        axes = scale.make_axis("predicted probability", most=5), scale.make_axis("share that was right", most=5)
        panels.append(Panel(*axes, marks, f"{name}, {part.rows:,} rows", size=(400, 320)))
    if not panels:
        return None
    first = next(iter(parts.values()))
    error = first.metrics.get("calibration_error")
    word = "" if error is None else f" On average they are {error:.1%} apart."
    return Figure(
        name="calibration",
        title="Calibration of the winner",
        summary=f"Predicted probability against the share of rows where it was right ({next(iter(parts))} rows); on "
        f"the dashed line both are equal.{word}",
        panels=panels,
        legend=[("best", "winner"), ("band", "rows in each bin")],
    )


def _draw_residuals(evaluation: Evaluation) -> Figure | None:
    panels, drawn = [], 0
    parts = {name: part for name, part in evaluation.parts.items() if part.residuals}
    # The first and the last, such as the nearest and the farthest steps of a forecast, and some between.
    outputs = list(next(iter(parts.values())).residuals) if parts else []
    count = min(len(outputs), _MOST_OUTPUTS)
    shown = [outputs[round(place * (len(outputs) - 1) / max(1, count - 1))] for place in range(count)]
    for name, part in parts.items():
        for output in shown:
            pairs = part.residuals.get(output, ())
            drawn = max(drawn, len(pairs))
            across = Scale.from_numbers(predicted for predicted, _ in pairs)
            errors = [true - predicted for predicted, true in pairs]
            up = Scale.from_numbers([*errors, 0.0])
            points = [
                (across.place(predicted), up.place(error)) for (predicted, _), error in zip(pairs, errors, strict=True)
            ]
            marks: list[Mark] = [
                Dots("trial", points, size=4.5),
                Line("ink", [(0, up.place(0.0)), (1, up.place(0.0))], 1.4),
            ]
            title = f"{shorten(output, 24)}, {name}, {part.rows:,} rows"
            panels.append(
                Panel(
                    across.make_axis("predicted"), up.make_axis("true minus predicted"), marks, title, size=(440, 300)
                )
            )
    if not panels:
        return None
    name, first = next(iter(parts.items()))
    measured = "; ".join(
        f"{metric.replace('_', ' ')} {format_number(value)}"
        for metric, value in first.metrics.items()
        if metric in ("mean_absolute_error", "r2_score", "bias")
    )
    return Figure(
        name="residuals",
        title="Residuals of the winner",
        summary=f"Errors of the predictions by their size on {name} rows" + (f": {measured}." if measured else "."),
        panels=panels,
        legend=[("trial", "row"), ("ink", "no error")],
        note=join_notes(
            f"{drawn:,} rows at most are drawn in each panel." if first.rows > drawn else "",
            f"Of the outputs, {', '.join(shown)} are drawn." if len(shown) < len(outputs) else "",
        ),
    )
