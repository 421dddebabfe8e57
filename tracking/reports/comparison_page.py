"""Page of a comparison of studies: one HTML file that needs no other file."""

from __future__ import annotations

from tracking.reports.comparison import (
    OVERVIEW,
    StudyComparison,
    draw_comparison,
    list_data,
    list_overview,
    list_shared,
    list_spaces,
)
from tracking.reports.rendering import render_page


def render_comparison(comparison: StudyComparison, *, version: str = "", written: str = "") -> str:
    """Return the page of a comparison."""
    return render_page(
        "comparison.html",
        {"metric": "", "sign": 1, "names": [], "rows": {}},
        comparison=comparison,
        overview_titles=OVERVIEW,
        overview=list_overview(comparison),
        shared=list_shared(comparison),
        data=list_data(comparison),
        spaces=list_spaces(comparison),
        figure_of_best=draw_comparison(comparison),
        version=version,
        written=written,
    )
