"""Layout of a panel: its axes, texts and marks as shapes in pixels, for both the SVG and the PNG."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from tracking.reports.figures.figure import Box, Dots, Label, Line, Panel, Point
from tracking.reports.figures.scale import shorten, shorten_all

_TOP, _RIGHT = 12, 14
_TITLE = 20
_BESIDE, _UNDER = 32, 32  # beside and under the names on an axis, for its title
_LEAST_PLOT = 216
_LONGEST_NAME = 22  # letters; a longer one is cut, and shown whole to those who point at it
_TICK_SIZE, _TITLE_SIZE, _HEAD_SIZE = 11, 12, 13
LETTER = 0.56
"""Width of a letter in its size: of Aileron and of most fonts of systems, on average."""


@dataclass(frozen=True)
class Stroke:
    """Line through pixels, broken where a point is None."""

    colour: str
    points: Sequence[Point | None]
    width: float
    is_dashed: bool = False
    trial: int | None = None


@dataclass(frozen=True)
class Spots:
    """Dots at pixels."""

    colour: str
    points: Sequence[Point]
    size: float
    trials: Sequence[int] = ()


@dataclass(frozen=True)
class Area:
    """Filled rectangle: left, top, width, height."""

    colour: str
    box: tuple[float, float, float, float]
    text: str = ""
    trial: int | None = None


@dataclass(frozen=True)
class Text:
    """Text at a pixel: its start, middle or end is there; turned by a quarter where it runs upwards."""

    at: Point
    text: str
    size: int
    anchor: str = "start"
    colour: str = "ink"
    is_upright: bool = False
    is_bold: bool = False
    whole: str = ""  # what was cut


Shape = Stroke | Spots | Area | Text


def fit_margins(panel: Panel) -> Panel:
    """Return a panel with the margins that the names on its axes need, up to a length; it grows where it must."""
    across, (width, height) = [text for _, text in panel.x.ticks], panel.size
    left = max(panel.left, math.ceil(_measure([text for _, text in panel.y.ticks]) + _BESIDE))
    # No wider than it must: letters would be smaller on a page, where panels share a row.
    wide = max(width, left + min(_LEAST_PLOT, width - panel.left - _RIGHT) + _RIGHT)
    bottom = panel.bottom
    if _must_turn(across, wide - left - _RIGHT):
        bottom = max(bottom, math.ceil(_measure(across) + _UNDER))
    size = (wide, height + bottom - panel.bottom)
    return replace(panel, left=left, bottom=bottom, size=size)


def _measure(texts: Sequence[str]) -> float:
    """Return the width of the longest text, as far as texts are shown."""
    return min(max(map(len, texts), default=0), _LONGEST_NAME) * _TICK_SIZE * LETTER


def _must_turn(texts: Sequence[str], width: float) -> bool:
    """Return whether the texts of a horizontal axis would touch each other."""
    return max(map(len, texts), default=0) * _TICK_SIZE * LETTER > width / max(1, len(texts)) - 4


def lay_out(panel: Panel) -> list[Shape]:
    """Return the shapes of a panel, whose margins fit, in the order to draw them."""
    return list(_Layout(panel).list_shapes())


class _Layout:
    def __init__(self, panel: Panel) -> None:
        self._panel = panel
        width, height = panel.size
        top = _TOP + (_TITLE if panel.title else 0)
        self._left, self._top = float(panel.left), float(top)
        self._width, self._height = width - panel.left - _RIGHT, height - top - panel.bottom

    def _place(self, point: Point) -> Point:
        return self._left + point[0] * self._width, self._top + (1 - point[1]) * self._height

    def list_shapes(self) -> Iterator[Shape]:
        panel = self._panel
        yield from self._draw_grid()
        for mark in panel.marks:
            yield from self._draw_mark(mark)
        yield from self._draw_axes()

    def _draw_grid(self) -> Iterator[Shape]:
        panel = self._panel
        for place, _ in panel.x.ticks if panel.x.has_grid else ():
            yield Stroke("grid", [self._place((place, 0)), self._place((place, 1))], 1)
        for place, _ in panel.y.ticks if panel.y.has_grid else ():
            yield Stroke("grid", [self._place((0, place)), self._place((1, place))], 1)

    def _draw_axes(self) -> Iterator[Shape]:
        panel = self._panel
        bottom, right = self._top + self._height, self._left + self._width
        if panel.has_frame:
            yield Stroke("line", [(self._left, self._top), (self._left, bottom), (right, bottom)], 1)
        if panel.title:
            yield Text((self._left, self._top - 10), panel.title, _HEAD_SIZE, is_bold=True)
        yield from self._write_across(bottom)
        for place, text, whole in _shorten_ticks(panel.y.ticks, panel.left - _BESIDE):
            at = (self._left - 7, self._place((0, place))[1] + 4)
            yield Text(at, text, _TICK_SIZE, "end", "quiet", whole=whole)
        if panel.y.title:
            middle = (13.0, self._top + self._height / 2)
            longest = int(self._height / (_TITLE_SIZE * LETTER))
            yield Text(middle, shorten(panel.y.title, longest), _TITLE_SIZE, "middle", "quiet", is_upright=True)

    def _write_across(self, bottom: float) -> Iterator[Shape]:
        """Write the texts of the horizontal axis, turned where they would touch each other."""
        panel, ticks = self._panel, self._panel.x.ticks
        if _must_turn([text for _, text in ticks], self._width):
            for place, text, whole in _shorten_ticks(ticks, panel.bottom - _UNDER):
                at = (self._place((place, 0))[0] + 4, bottom + 6)
                yield Text(at, text, _TICK_SIZE, "end", "quiet", is_upright=True, whole=whole)
        else:
            for place, text in ticks:
                yield Text((self._place((place, 0))[0], bottom + 16), text, _TICK_SIZE, "middle", "quiet")
        if panel.x.title:
            at = (self._left + self._width / 2, panel.size[1] - 8.0)
            title = shorten(panel.x.title, int(self._width / (_TITLE_SIZE * LETTER)))
            yield Text(at, title, _TITLE_SIZE, "middle", "quiet")

    def _draw_mark(self, mark: Dots | Line | Box | Label) -> Iterator[Shape]:
        match mark:
            case Dots(colour, points, trials, size):
                numbers = trials or [-1] * len(points)
                seen = [(self._place(at), number) for at, number in zip(points, numbers, strict=True) if _is_in(at)]
                if seen:
                    yield Spots(colour, [at for at, _ in seen], size, [number for _, number in seen] if trials else ())
            case Line(colour, points, width, trial, is_dashed):
                placed = [None if at is None or not _is_in(at) else self._place(at) for at in points]
                yield Stroke(colour, placed, width, is_dashed, trial)
            case Box(colour, left, bottom, right, top, text, trial):
                (x0, y1), (x1, y0) = self._place((left, bottom)), self._place((right, top))
                yield Area(colour, (min(x0, x1), min(y0, y1), abs(x1 - x0), abs(y1 - y0)), text, trial)
            case Label(at, text, side, colour, whole):
                x, y = self._place(at)
                shift = {"right": 6, "left": -6}.get(side, 0)
                anchor = {"right": "start", "left": "end"}.get(side, "middle")
                lift = {"above": -6, "below": 14}.get(side, 4)
                yield Text((x + shift, y + lift), text, _TICK_SIZE, anchor, colour, whole=whole)


def _shorten_ticks(ticks: Sequence[tuple[float, str]], room: float) -> Iterator[tuple[float, str, str]]:
    """Yield place, text as it fits, and the whole text where it was cut."""
    letters = max(4, int(room / (_TICK_SIZE * LETTER) + 1e-9))
    cut = shorten_all([text for _, text in ticks], letters)
    for (place, text), fitting in zip(ticks, cut, strict=True):
        yield place, fitting, "" if fitting == text else text


def _is_in(at: Point) -> bool:
    return all(math.isfinite(each) and -0.02 <= each <= 1.02 for each in at)
