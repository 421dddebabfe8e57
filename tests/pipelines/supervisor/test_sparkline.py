"""Curves of numbers as text."""

from pipelines.supervisor.sparkline import draw_sparkline


def test_a_wide_range_keeps_its_shape():
    """After one huge score the others still differ: positive values are on a logarithmic scale."""
    assert draw_sparkline([1e6, 100.0, 10.0, 1.0], 9) == "█▃▂▁"
    assert draw_sparkline([1e6, 0.0, -1.0], 9) == "█▁▁"


def test_equal_and_missing_values():
    """A flat curve is a flat line, no curve an empty one, and no room is no line."""
    assert draw_sparkline([2.0, 2.0], 9) == "▁▁"
    assert draw_sparkline([], 9) == ""
    assert draw_sparkline([1.0, 2.0], 0) == ""
