"""Pages of the service for browsers: HTML from templates, with no script and nothing from elsewhere."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import jinja2

FOLDER: Final = Path(__file__).parents[1] / "templates"
STYLE: Final = FOLDER / "kerastudy.css"
HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'",
    # With `no-referrer`, browsers would send forms with the origin "null", which is no proof of where they come from.
    "Referrer-Policy": "same-origin",
}


def render(template: str, **values: Any) -> str:
    """Return a page; every value is escaped."""
    return _environment.get_template(template).render(**values)


def _format_time(time_ms: int | None, otherwise: str = "never") -> str:
    return otherwise if time_ms is None else datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")


_environment = jinja2.Environment(
    loader=jinja2.FileSystemLoader(FOLDER), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
)
_environment.filters["time"] = _format_time
