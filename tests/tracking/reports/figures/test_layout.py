"""Texts of a panel: names on its axes are readable, whatever their length, and the plot stays as large as it must."""

from __future__ import annotations

import pytest
from PIL import ImageChops

from tracking.reports.figures import png
from tracking.reports.figures.figure import Axis, Dots, Figure, Panel
from tracking.reports.figures.layout import Text, fit_margins, lay_out
from tracking.reports.figures.svg import render_panel

LONG = ("transformer_with_position", "transformer_without_position", "bidirectional_lstm")


def panel(across=("a", "b"), up=("1", "2"), **fields):
    def axis(texts):
        return Axis("title", [((place + 0.5) / len(texts), text) for place, text in enumerate(texts)])

    return Panel(axis(across), axis(up), [Dots("trial", [(0.5, 0.5)])], size=(340, 240), **fields)


def texts(panel, *, is_upright):
    return [
        shape for shape in lay_out(panel) if isinstance(shape, Text) and shape.is_upright is is_upright and shape.whole
    ]


def test_short_names_leave_a_panel_as_it_is():
    """Numbers, and names that fit, need no more room."""
    assert fit_margins(panel()) == panel()


def test_long_names_below_make_the_panel_higher():
    """They stand upright, 22 letters of each are shown, and the plot keeps its size."""
    fitted = fit_margins(panel(across=LONG))
    assert fitted.size == (340, 240 + fitted.bottom - panel().bottom)
    shown = {shape.text: shape.whole for shape in texts(fitted, is_upright=True)}
    assert list(shown.values()) == [*LONG[:2]]
    assert all(len(text) == 22 for text in shown)
    assert "bidirectional_lstm" in {shape.text for shape in lay_out(fitted) if isinstance(shape, Text)}


def test_long_names_beside_leave_room_for_the_plot():
    """The margin takes them, and the panel grows no wider than the plot needs."""
    fitted = fit_margins(panel(up=LONG))
    plot = fitted.size[0] - fitted.left - 14
    assert fitted.left > panel().left
    assert 200 < plot < 260
    assert all(shape.at[0] - len(shape.text) * 6 > 16 for shape in texts(fitted, is_upright=False))


def test_a_name_that_is_cut_is_shown_to_those_who_point_at_it():
    """In the page it is the text's title, escaped."""
    page = str(render_panel(panel(across=("<b>" * 20, "x")), "x"))
    assert f"<title>{'&lt;b&gt;' * 20}</title>" in page


@pytest.mark.parametrize("letter", ["ö", "Ω", "я"])
def test_letters_with_accents_are_painted(tmp_path, letter):
    """Each has a shape of its own in a PNG, and is no box."""
    painted = []
    for title in (letter * 3, "\u0378" * 3):  # the second has no letter
        figure = Figure("x", title, "x", [panel()])
        png.write_png(figure, tmp_path / "x.png")
        with png.Image.open(tmp_path / "x.png") as picture:
            painted.append(picture.convert("RGB").crop((0, 0, 120, 34)))
    assert ImageChops.difference(*painted).getbbox() is not None
