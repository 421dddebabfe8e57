"""The picture of a trial's epochs."""

import math
import subprocess
import sys

import pytest
from PIL import Image

from tracking.reports.learning_curve import _choose_ticks, _format_ticks, draw_learning_curve

BLUE, GREY = (31, 111, 235), (154, 164, 178)


def colours(path, box=None):
    """Return which of the two curves' colours a picture, or a part of it, has."""
    with Image.open(path) as picture:
        part = picture.convert("RGB").crop(box or (0, 0, *picture.size))
        found = {colour for _, colour in part.getcolors(1_000_000)}
    return found & {BLUE, GREY}


@pytest.mark.parametrize("count", [1, 2, 20, 500])
def test_a_learning_curve_is_a_picture(tmp_path, count):
    """The loss and the objective stand side by side, training grey and validation blue, also for a single epoch."""
    both = {"loss": 0.5, "accuracy": 0.5, "val_loss": 0.7, "val_accuracy": 0.9}
    draw_learning_curve(
        tmp_path / "curve.png",
        [{name: value / (1 + epoch) for name, value in both.items()} for epoch in range(count)],
        "val_accuracy",
    )
    with Image.open(tmp_path / "curve.png") as picture:
        assert (picture.format, picture.size) == ("PNG", (720, 256))
    for left in (0, 360):
        assert colours(tmp_path / "curve.png", (left, 0, left + 360, 256)) == {BLUE, GREY}


def test_an_objective_that_is_the_loss_is_drawn_once(tmp_path):
    """Where the objective is the loss there is one panel."""
    draw_learning_curve(tmp_path / "curve.png", [{"loss": 1.0, "val_loss": 1.1}] * 3, "val_loss")
    with Image.open(tmp_path / "curve.png") as picture:
        assert picture.size == (360, 256)


def test_a_metric_that_is_missing_has_no_curve(tmp_path):
    """A metric of some epochs only is drawn where it is; a metric that was not reported is left out, with its name."""
    draw_learning_curve(tmp_path / "curve.png", [{"loss": 1.0}, {"loss": 0.5, "val_accuracy": 0.9}], "val_accuracy")
    assert colours(tmp_path / "curve.png", (0, 0, 360, 256)) == {GREY}
    assert colours(tmp_path / "curve.png", (360, 0, 720, 256)) == {BLUE}


def test_the_score_is_a_line_of_its_own(tmp_path):
    """The mean of each fold's best epoch may be above the mean curve, and is drawn where it is."""
    curve = [{"loss": 1.0, "val_accuracy": 0.5}, {"loss": 0.9, "val_accuracy": 0.6}]
    draw_learning_curve(tmp_path / "curve.png", curve, "val_accuracy", 0.8)
    green = tuple(int("2da44e"[at : at + 2], 16) for at in (0, 2, 4))
    with Image.open(tmp_path / "curve.png").convert("RGB") as picture:
        rows = {y for y in range(256) if picture.getpixel((640, y)) == green}
        blue = [y for y in range(256) for x in range(360, 720) if picture.getpixel((x, y)) == BLUE]
    assert rows and max(rows) < min(blue)


@pytest.mark.parametrize(
    "values",
    [
        [math.nan, math.nan],
        [1.0, math.inf, -math.inf, math.nan, 2.0],
        [0.0, 0.0],
        [-3.0, -3.0],
        [1e300, 1.0],
        [1e-300, 2e-300],
        [1.0, 1.0 + 1e-16],
        [1e9, -1e9],
        [],
    ],
)
def test_odd_values_are_no_error(tmp_path, values):
    """Whatever a trial reported, there is a picture."""
    draw_learning_curve(tmp_path / "curve.png", [{"loss": value} for value in values], "loss")
    with Image.open(tmp_path / "curve.png") as picture:
        picture.load()


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.0, 1.0, ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
        (0.91, 0.97, ["0.91", "0.92", "0.93", "0.94", "0.95", "0.96", "0.97"]),
        (-30.0, 10.0, ["-30", "-20", "-10", "0", "10"]),
        (1e6, 3e6, ["1e+06", "1.5e+06", "2e+06", "2.5e+06", "3e+06"]),
        (0.0, 2.5e-5, ["0", "5e-06", "1e-05", "1.5e-05", "2e-05", "2.5e-05"]),
    ],
)
def test_axes_have_round_numbers(low, high, expected):
    """Numbers at an axis are round, few, within it, and written alike."""
    assert _format_ticks(_choose_ticks(low, high)) == expected


def test_epochs_are_whole_numbers():
    """There is no half epoch at the axis."""
    assert _choose_ticks(0, 1, whole=True) == [0, 1]
    assert _choose_ticks(0, 19, whole=True) == [0, 5, 10, 15]


def test_a_worker_loads_no_matplotlib():
    """Drawing the picture of a trial needs Pillow alone."""
    code = "import sys, tracking.reports.learning_curve; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
