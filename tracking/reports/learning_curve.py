"""Plot of one trial's epochs, drawn with Pillow for every trial.

matplotlib takes twenty times as long, and the worker that trains the trial would have to import it. Curves are drawn
three times as large and reduced, which smooths them; text is drawn in its final size.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Final

from PIL import Image, ImageDraw, ImageFont

Curve = Sequence[Mapping[str, float]]
Point = tuple[float, float]
Box = tuple[float, float, float, float]

_PANEL: Final = (360, 256)
_PLOT: Final[Box] = (52, 26, 350, 214)
"""Area of the curves in a panel: left, top, right, bottom."""
_SCALE: Final = 3
_WHITE: Final = "#ffffff"
_INK: Final = "#24292f"
_GRID: Final = "#e7eaee"
_BLUE: Final = "#1f6feb"
_GREY: Final = "#9aa4b2"
_GREEN: Final = "#2da44e"
"""The line of the score."""
_KINDS: Final = (("", "training", _GREY), ("val_", "validation", _BLUE))
_LEGEND: Final = (92, 38)
# Dots of 4.8 pixels touch each other where more stand in the 282 pixels of a plot.
_MOST_MARKERS: Final = 60
_COLOURS: Final = 128  # with 64 the edges of lines and letters show steps
# A diverged loss would flatten the rest of the curve; the comparison leaves NaN out too.
_LARGEST: Final = 1e100


def draw_learning_curve(path: Path, epochs: Curve, metric: str, score: float | None = None) -> None:
    """Draw the loss and the objective of one trial, on training and validation rows.

    Args:
        path: PNG to write.
        epochs: metrics of each epoch.
        metric: the objective, such as `val_accuracy`.
        score: the trial's score, drawn as a line across; with folds it is the mean of each fold's best epoch, and may
            be better than the mean curve at any epoch.
    """
    names = tuple(dict.fromkeys(name.removeprefix("val_") for name in ("loss", metric)))
    scores = {metric.removeprefix("val_"): score}
    panels = [_Panel(_PANEL[0] * index, name, epochs, scores.get(name)) for index, name in enumerate(names)]
    size = (_PANEL[0] * len(panels), _PANEL[1])
    large = Image.new("RGB", (size[0] * _SCALE, size[1] * _SCALE), _WHITE)
    pen = ImageDraw.Draw(large)
    for panel in panels:
        panel.draw_lines(pen)
    picture = large.reduce(_SCALE)
    pen = ImageDraw.Draw(picture)
    for panel in panels:
        panel.draw_text(pen)
    # A palette: half the time and half the size of three bytes a pixel. Level 1: the default takes a third longer.
    few = picture.quantize(_COLOURS, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    few.save(path, format="PNG", compress_level=1)


class _Panel:
    """Panel of one metric over the epochs, `left` pixels from the picture's edge."""

    def __init__(self, left: float, name: str, epochs: Curve, score: float | None = None) -> None:
        self._score = score if score is not None and abs(score) < _LARGEST else None
        self._name = name if self._score is None else f"{name}, score {self._score:.5g}"
        self._box = (left + _PLOT[0], _PLOT[1], left + _PLOT[2], _PLOT[3])
        kinds = [(prefix + name, label, colour) for prefix, label, colour in _KINDS]
        drawn = [kind for kind in kinds if any(kind[0] in metrics for metrics in epochs)]
        values = {column: [metrics.get(column, math.nan) for metrics in epochs] for column, _, _ in drawn}
        shown = [value for column in values.values() for value in column if abs(value) < _LARGEST]
        shown += [] if self._score is None else [self._score]
        low, high = (min(shown), max(shown)) if shown else (0.0, 1.0)
        # Equal but for rounding: an axis of 1e-12 would show noise.
        is_flat = high - low <= 1e-9 * max(abs(low), abs(high))
        room = 0.06 * (high - low) if not is_flat else 0.05 * abs(high) or 0.5
        self._across, self._up = (0.0, max(1.0, len(epochs) - 1)), (low - room, high + room)
        self._curves = {
            (label, colour): [
                self._place(epoch, value) if abs(value) < _LARGEST else None
                for epoch, value in enumerate(values[column])
            ]
            for column, label, colour in drawn
        }

    def _place(self, epoch: float, value: float) -> Point:
        left, top, right, bottom = self._box
        inner = 8  # distance of the first and the last point from the edges
        across = (epoch - self._across[0]) / (self._across[1] - self._across[0])
        up = (value - self._up[0]) / (self._up[1] - self._up[0])
        return left + inner + across * (right - left - 2 * inner), bottom - up * (bottom - top)

    def draw_lines(self, pen: ImageDraw.ImageDraw) -> None:
        left, top, right, bottom = self._box
        for value in _choose_ticks(*self._up):
            _draw_line(pen, [(left, y := self._place(0, value)[1]), (right, y)], _GRID, 1)
        for epoch in self._list_epochs():
            _draw_line(pen, [(x := self._place(epoch, 0)[0], top), (x, bottom)], _GRID, 1)
        _draw_line(pen, [(left, top), (left, bottom), (right, bottom)], _INK, 1)
        if self._score is not None:
            _draw_line(pen, [(left, y := self._place(0, self._score)[1]), (right, y)], _GREEN, 1)
        for (_, colour), points in self._curves.items():
            for one, other in pairwise(points):
                if one and other:
                    _draw_line(pen, [one, other], colour, 1.6)
            if len(points) <= _MOST_MARKERS:
                for point in filter(None, points):
                    _draw_dot(pen, point, colour, 2.4)
        for (_, colour), (x, y) in self._place_legend():
            _draw_line(pen, [(x, y), (x + 18, y)], colour, 1.6)
            _draw_dot(pen, (x + 9, y), colour, 2.4)

    def draw_text(self, pen: ImageDraw.ImageDraw) -> None:
        left, top, right, bottom = self._box
        pen.text((left, top - 8), self._name, _INK, _load_font(13), anchor="ls")
        pen.text(((left + right) / 2, bottom + 34), "epoch", _INK, _load_font(12), anchor="ms")
        ticks = _choose_ticks(*self._up)
        for value, text in zip(ticks, _format_ticks(ticks), strict=True):
            pen.text((left - 6, self._place(0, value)[1]), text, _INK, _load_font(11), anchor="rm")
        for epoch in self._list_epochs():
            pen.text((self._place(epoch, 0)[0], bottom + 16), f"{epoch:.0f}", _INK, _load_font(11), anchor="ms")
        for (label, _), (x, y) in self._place_legend():
            pen.text((x + 25, y), label, _INK, _load_font(12), anchor="lm")

    def _list_epochs(self) -> list[float]:
        return [tick for tick in _choose_ticks(*self._across, whole=True) if tick >= 0]

    def _place_legend(self) -> Iterator[tuple[tuple[str, str], Point]]:
        """Yield the place of each curve's name, in the corner with the fewest points."""
        left, top, right, bottom = self._box
        width, height = _LEGEND
        corners = [(x, y) for y in (top + 4, bottom - height - 6) for x in (right - width - 6, left + 10)]
        points = [point for curve in self._curves.values() for point in curve if point]

        def count_covered(corner: Point) -> int:
            x, y = corner
            return sum(x - 6 <= px <= x + width + 6 and y - 4 <= py <= y + height + 4 for px, py in points)

        x, y = min(corners, key=count_covered)
        for index, kind in enumerate(self._curves):
            yield kind, (x, y + 10 + 18 * index)


def _choose_ticks(low: float, high: float, *, whole: bool = False) -> list[float]:
    """Return up to eight round numbers between two."""
    rough = (high - low) / 7
    power = 10 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * 0.999)
    if whole:
        step = max(1.0, math.ceil(step))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [step * index for index in range(first, last + 1)]


def _format_ticks(ticks: Sequence[float]) -> list[str]:
    """Return numbers in one format, with enough digits to be different."""
    largest = max(map(abs, ticks), default=0.0)
    step = ticks[1] - ticks[0] if len(ticks) > 1 else largest or 1.0
    if largest >= 1e5 or largest < 1e-3:
        return [f"{tick:.3g}" for tick in ticks]
    digits = next((count for count in range(7) if abs(round(step, count) - step) < step * 1e-6), 7)
    # Adding 0.0 turns -0.0 into 0.0.
    return [f"{tick + 0.0:.{digits}f}" for tick in ticks]


def _draw_line(pen: ImageDraw.ImageDraw, points: Sequence[Point], colour: str, width: float) -> None:
    pen.line([_enlarge(point) for point in points], fill=colour, width=round(width * _SCALE), joint="curve")


def _draw_dot(pen: ImageDraw.ImageDraw, at: Point, colour: str, radius: float) -> None:
    pen.circle(_enlarge(at), radius * _SCALE, fill=colour)


def _enlarge(point: Point) -> Point:
    """Return the point in the large drawing: the middle of its pixel."""
    return (round(point[0] * _SCALE) + 1, round(point[1] * _SCALE) + 1)


@cache
def _load_font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
