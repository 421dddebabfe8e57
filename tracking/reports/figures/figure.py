"""Descriptions of figures: panels with axes, and marks in units of their panel.

A mark's place runs from 0 to 1, from left to right and from bottom to top. A `Scale` gives values their place.
Colours are names of `palette`: a page has two sets of them, for light and for dark.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

Point = tuple[float, float]


@dataclass(frozen=True)
class Axis:
    """Axis of a panel: its title, and its ticks as place and text."""

    title: str = ""
    ticks: Sequence[tuple[float, str]] = ()
    has_grid: bool = True


@dataclass(frozen=True)
class Dots:
    """Dots of one colour; `trials` names the trial of each, for those who point at it."""

    colour: str
    points: Sequence[Point]
    trials: Sequence[int] = ()
    size: float = 6.0


@dataclass(frozen=True)
class Line:
    """Line through points, broken where a point is None.

    Attributes:
        trial: number of the trial that it belongs to; None where it belongs to none.
    """

    colour: str
    points: Sequence[Point | None]
    width: float = 1.6
    trial: int | None = None
    is_dashed: bool = False


@dataclass(frozen=True)
class Box:
    """Filled rectangle; `text` is what it stands for, for those who point at it."""

    colour: str
    left: float
    bottom: float
    right: float
    top: float
    text: str = ""
    trial: int | None = None


@dataclass(frozen=True)
class Label:
    """Text at a place; `side` is the side of the place that the text is on.

    Attributes:
        whole: what was cut, for those who point at it; empty where nothing was.
    """

    at: Point
    text: str
    side: str = "middle"
    colour: str = "ink"
    whole: str = ""


Mark = Dots | Line | Box | Label


@dataclass(frozen=True)
class Panel:
    """One pair of axes with its marks.

    Attributes:
        size: width and height in pixels, with texts and margins.
        left: least width of the margin for the texts of the vertical axis; names that are longer make it larger.
        bottom: least height of the margin for those of the horizontal axis, likewise.
        has_frame: whether lines show the axes.
    """

    x: Axis
    y: Axis
    marks: Sequence[Mark]
    title: str = ""
    size: tuple[int, int] = (440, 280)
    left: int = 66
    bottom: int = 46
    has_frame: bool = True


@dataclass(frozen=True)
class Figure:
    """Figure of a report.

    Attributes:
        name: name of its file, in letters and dashes.
        summary: what it shows, in one or two sentences: for those who cannot see it.
        legend: colour and meaning.
        note: what was left out, for example because there are too many trials to draw.
    """

    name: str
    title: str
    summary: str
    panels: Sequence[Panel]
    legend: Sequence[tuple[str, str]] = field(default=())
    note: str = ""

    def _repr_html_(self) -> str:
        """Return the figure for a notebook."""
        from tracking.reports.figures.svg import render_figure

        return render_figure(self)
