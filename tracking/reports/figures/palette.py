"""Colours of figures by name, for light and for dark pages.

Those of series differ in lightness too: a print without colours, and eyes without red or green, see the difference.
"""

from __future__ import annotations

from typing import Final

LIGHT: Final = {
    "ink": "#1b1f24", "quiet": "#57606a", "line": "#8c959f", "grid": "#e4e8ec", "ground": "#ffffff",
    "trial": "#6e9bd1", "best": "#0a4fa3", "winner": "#b3261e", "pruned": "#b9c0c8", "paused": "#c98a1b",
    "failed": "#7d3c98", "running": "#4f9d69", "cancelled": "#9aa4b2", "train": "#8c959f", "band": "#c9dcf2",
    "c0": "#0a4fa3", "c1": "#d9822b", "c2": "#2f8f6b", "c3": "#a3357a", "c4": "#5f6b7a", "c5": "#6fb1e0",
    "c6": "#8a6d1d", "c7": "#c2185b",
    "q0": "#ced9e6", "q1": "#bccfe4", "q2": "#a6c3e2", "q3": "#8db6dc", "q4": "#6a9ed0", "q5": "#4b86c1",
    "q6": "#2f6dae", "q7": "#175496", "q8": "#08397a",
}  # fmt: skip
DARK: Final = {
    "ink": "#e6eaef", "quiet": "#a3adb8", "line": "#6b7681", "grid": "#2b323a", "ground": "#14181d",
    "trial": "#5b8ac4", "best": "#9cc7ff", "winner": "#ff8f85", "pruned": "#5d6771", "paused": "#e2ab4a",
    "failed": "#c490da", "running": "#7fcf9b", "cancelled": "#77818c", "train": "#77818c", "band": "#2a415e",
    "c0": "#79b0f2", "c1": "#f0a35a", "c2": "#66c79f", "c3": "#e08cc0", "c4": "#a9b4c0", "c5": "#3f86c4",
    "c6": "#d3b45c", "c7": "#f2709c",
    "q0": "#364150", "q1": "#364b61", "q2": "#365672", "q3": "#366389", "q4": "#386f9f", "q5": "#4886bd",
    "q6": "#629fd6", "q7": "#86bbec", "q8": "#b5d9ff",
}  # fmt: skip
SERIES: Final = 8
"""Number of colours for series, `c0` and so on."""
SHADES: Final = 9
"""Number of shades, `q0` and so on, the last of which stands out most."""


def choose_shade(share: float) -> str:
    """Return the shade for a share from 0 to 1.

    >>> choose_shade(0.0), choose_shade(1.0)
    ('q0', 'q8')
    """
    return f"q{min(SHADES - 1, max(0, int(share * SHADES)))}"


def choose_series(index: int) -> str:
    """Return the colour of a series by its place."""
    return f"c{index % SERIES}"
