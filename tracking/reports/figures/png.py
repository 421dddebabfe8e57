"""PNG of figures, painted with Pillow, for MLflow's pages.

Shapes are painted twice as large and reduced, which smooths them; text is painted in its final size. matplotlib would
take a second to load in each supervisor.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Final

from PIL import Image, ImageDraw, ImageFont

from tracking.reports.figures.figure import Figure, Panel, Point
from tracking.reports.figures.layout import LETTER, Area, Spots, Stroke, Text, fit_margins, lay_out
from tracking.reports.figures.palette import LIGHT

_SCALE: Final = 2
_HEAD: Final = 34
_LEGEND: Final = 26  # of one line, with its room; each further one:
_LEGEND_LINE: Final = 20
_LEGEND_LEFT: Final = 16.0
_COLUMNS: Final = 3
_DASH: Final = 6.0


def write_png(figure: Figure, path: Path) -> None:
    """Paint a figure: title, panels in rows of up to three, legend."""
    columns = min(_COLUMNS, len(figure.panels))
    panels = [fit_margins(panel) for panel in figure.panels]
    rows = [panels[start : start + columns] for start in range(0, len(panels), columns)]
    width = max(sum(panel.size[0] for panel in row) for row in rows)
    heights = [max(panel.size[1] for panel in row) for row in rows]
    legend = _break_legend(figure.legend, width)
    below = _LEGEND + _LEGEND_LINE * (len(legend) - 1) if legend else 0
    picture = Image.new("RGB", (width, _HEAD + sum(heights) + below), LIGHT["ground"])
    top = _HEAD
    for row, height in zip(rows, heights, strict=True):
        left = 0
        for panel in row:
            picture.paste(_paint_panel(panel), (left, top))
            left += panel.size[0]
        top += height
    pen = ImageDraw.Draw(picture)
    pen.text((12, 22), figure.title, LIGHT["ink"], _choose_font(figure.title, 15), anchor="ls")
    for line, entries in enumerate(legend):
        _paint_legend(pen, entries, top + 14 + _LEGEND_LINE * line)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Level 1: the default takes a third longer and saves an eighth.
    picture.save(path, format="PNG", compress_level=1)


def _paint_panel(panel: Panel) -> Image.Image:
    width, height = panel.size
    shapes = lay_out(panel)
    large = Image.new("RGB", (width * _SCALE, height * _SCALE), LIGHT["ground"])
    pen = ImageDraw.Draw(large)
    for shape in shapes:
        match shape:
            case Stroke(colour, points, stroke, is_dashed, _):
                _paint_line(pen, points, LIGHT[colour], stroke, is_dashed=is_dashed)
            case Spots(colour, points, size, _):
                for x, y in points:
                    pen.circle((x * _SCALE, y * _SCALE), size / 2 * _SCALE, fill=LIGHT[colour])
            case Area(colour, (left, top, across, down), _, _):
                ends = (left, top, left + max(across, 0.5), top + max(down, 0.5))
                pen.rectangle(tuple(each * _SCALE for each in ends), fill=LIGHT[colour])
    picture = large.reduce(_SCALE)
    for shape in shapes:
        if isinstance(shape, Text):
            _paint_text(picture, shape)
    return picture


def _paint_line(
    pen: ImageDraw.ImageDraw, points: Sequence[Point | None], colour: str, width: float, *, is_dashed: bool
) -> None:
    for one, other in pairwise(points):
        if one is None or other is None:
            continue
        for start, end in _cut(one, other) if is_dashed else ((one, other),):
            ends = [(x * _SCALE, y * _SCALE) for x, y in (start, end)]
            pen.line(ends, fill=colour, width=max(1, round(width * _SCALE)), joint="curve")


def _cut(one: Point, other: Point) -> list[tuple[Point, Point]]:
    """Return the dashes of a line."""
    length = max(1e-9, ((one[0] - other[0]) ** 2 + (one[1] - other[1]) ** 2) ** 0.5)

    def at(distance: float) -> Point:
        share = min(1.0, distance / length)
        return one[0] + share * (other[0] - one[0]), one[1] + share * (other[1] - one[1])

    count = int(length / (2 * _DASH)) + 1
    return [(at(2 * _DASH * index), at(2 * _DASH * index + _DASH)) for index in range(count)]


def _paint_text(picture: Image.Image, text: Text) -> None:
    anchor = {"start": "ls", "middle": "ms", "end": "rs"}[text.anchor]
    font = _choose_font(text.text, text.size)
    if not text.is_upright:
        pen = ImageDraw.Draw(picture)
        # Names of values stand among lines.
        halo = 2 if text.colour == "quiet" else 0
        pen.text(text.at, text.text, LIGHT[text.colour], font, anchor, stroke_width=halo, stroke_fill=LIGHT["ground"])
        return
    length, height = max(1, int(font.getlength(text.text)) + 2), text.size + 6
    strip = Image.new("L", (length, height), 0)
    ImageDraw.Draw(strip).text((0, text.size), text.text, 255, font, anchor="ls")
    turned = strip.rotate(90, expand=True)
    x, y = text.at
    # The text runs upwards from its start: its end is its top.
    top = {"start": y - length, "middle": y - length / 2, "end": y}[text.anchor]
    picture.paste(LIGHT[text.colour], (round(x - text.size), round(top)), turned)


def _break_legend(legend: Sequence[tuple[str, str]], width: int) -> list[list[tuple[str, str]]]:
    """Return the entries of each line of a legend."""
    lines: list[list[tuple[str, str]]] = []
    left = 0.0
    for entry in legend:
        length = _measure_entry(entry[1])
        if not lines or left + length > width:
            lines.append([])
            left = _LEGEND_LEFT
        lines[-1].append(entry)
        left += length
    return lines


def _paint_legend(pen: ImageDraw.ImageDraw, line: Sequence[tuple[str, str]], top: int) -> None:
    left = _LEGEND_LEFT
    for colour, text in line:
        pen.circle((left + 5, top), 5, fill=LIGHT[colour])
        pen.text((left + 16, top), text, LIGHT["ink"], _choose_font(text, 12), anchor="lm")
        left += _measure_entry(text)


def _measure_entry(text: str) -> float:
    return 18 + len(text) * 12 * LETTER + 14


def _choose_font(text: str, size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Return a font that has a text's letters: Pillow's own has no accents, and boxes in their place."""
    return _load_font(size) if text.isascii() else _load_wide_font(size)


@cache
def _load_font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


@cache
def _load_wide_font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    # MLflow brings matplotlib, whose file of a font is used without importing it.
    found = find_spec("matplotlib")
    folders = (found.submodule_search_locations if found else None) or ()
    files = [Path(folder) / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf" for folder in folders]
    file = next((each for each in files if each.exists()), None)
    # A tenth smaller: its letters are wider.
    return ImageFont.truetype(file, round(size * 0.9)) if file else _load_font(size)
