"""A comparison of studies on a terminal, and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from pipelines.cli.output import make_table, print_table
from search_spaces.values import Value
from tracking.reports.comparison import (
    OVERVIEW,
    StudyComparison,
    list_data,
    list_overview,
    list_shared,
    list_spaces,
)
from tracking.reports.figures.scale import format_number


def print_comparison(comparison: StudyComparison) -> None:
    """Print results, winners on the same rows, data, and the hyperparameters whose ranges differ."""
    _print(OVERVIEW, list_overview(comparison))
    shared = comparison.shared
    if shared is not None:
        click.echo(f"\nwinners on the same {shared.rows} {shared.part} rows, those of {shared.study}:")
        _print(("study", shared.metric, "note"), list_shared(comparison))
    else:
        click.echo("\nno winners have scores on common rows")
    click.echo("")
    _print(("study", "data", "digest", "rows", "compared with the first"), list_data(comparison))
    spaces = list_spaces(comparison)
    different = [row[:-1] for row in spaces if row[-1] == "different"]
    click.echo(f"\n{len(spaces) - len(different)} of {len(spaces)} hyperparameters are searched alike")
    if different:
        _print(("hyperparameter", *comparison.names), different)


def make_content(comparison: StudyComparison) -> dict[str, Any]:
    """Return a comparison as plain values."""
    return {
        "studies": [dict(zip(OVERVIEW, row, strict=True)) for row in list_overview(comparison)],
        "shared": comparison.shared,
        "data": [
            dict(zip(("study", "source", "digest", "rows", "compared"), row, strict=True))
            for row in list_data(comparison)
        ],
        "spaces": [
            {
                "parameter": row[0],
                "searched": dict(zip(comparison.names, row[1:-1], strict=True)),
                "same": row[-1] == "same",
            }
            for row in list_spaces(comparison)
        ],
    }


def _print(titles: Sequence[str], rows: Sequence[Sequence[Value]]) -> None:
    table = make_table(*titles)
    for row in rows:
        table.add_row(*map(_format, row))
    print_table(table)


def _format(value: Value) -> str:
    if value is None:
        return ""
    return format_number(value) if isinstance(value, int | float) and not isinstance(value, bool) else str(value)
