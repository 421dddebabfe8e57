"""A comparison of studies on a terminal."""

from __future__ import annotations

from collections.abc import Sequence

import click

from pipelines.cli.output import make_table, print_table
from search_spaces.values import Value
from tracking.reports.comparison import OVERVIEW, ComparisonTables
from tracking.reports.figures.scale import format_number


def print_comparison(comparison: ComparisonTables) -> None:
    """Print results, winners on the same rows, data, and the hyperparameters whose ranges differ."""
    names = [str(each["study"]) for each in comparison.studies]
    _print(OVERVIEW, [[each[head] for head in OVERVIEW] for each in comparison.studies])
    shared = comparison.shared
    if shared is not None:
        click.echo(f"\nwinners on the same {shared.rows} {shared.part} rows, those of {shared.study}:")
        _print(("study", shared.metric, "note"), shared.list_rows(names))
    else:
        click.echo("\nno winners have scores on common rows")
    click.echo("")
    _print(
        ("study", "data", "digest", "rows", "compared with the first"), [[*each.values()] for each in comparison.data]
    )
    different = [each for each in comparison.spaces if not each.same]
    alike = len(comparison.spaces) - len(different)
    click.echo(f"\n{alike} of {len(comparison.spaces)} hyperparameters are searched alike")
    if different:
        rows = [(each.parameter, *(each.searched[name] for name in names)) for each in different]
        _print(("hyperparameter", *names), rows)


def _print(titles: Sequence[str], rows: Sequence[Sequence[Value]]) -> None:
    table = make_table(*titles)
    for row in rows:
        table.add_row(*map(_format, row))
    print_table(table)


def _format(value: Value) -> str:
    if value is None:
        return ""
    return format_number(value) if isinstance(value, int | float) and not isinstance(value, bool) else str(value)
