"""Tables of tokens, accounts and the audit log."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pipelines.cli.output import make_table, print_table

if TYPE_CHECKING:
    from tracking.store.accounts import Account
    from tracking.store.audit import AuditLine
    from tracking.store.tokens import Token


def print_tokens(tokens: Sequence[Token]) -> None:
    """Print a list of tokens."""
    table = make_table("account", "label", "may", "trials at once", "last used", "expires")
    for token in tokens:
        trials = str(token.running_trials or "any number")
        times = (_format_time(token.used_ms), _format_time(token.expires_ms))
        table.add_row(token.name, token.label, token.scope, trials, *times)
    print_table(table)


def print_accounts(accounts: Sequence[Account]) -> None:
    """Print a list of accounts."""
    table = make_table("account", "id", "may", "trials at once", "made")
    for each in accounts:
        trials = str(each.running_trials or "any number")
        table.add_row(each.name, each.id, each.scope, trials, _format_time(each.created_ms))
    print_table(table)


def print_audit(lines: Sequence[AuditLine]) -> None:
    """Print lines of the audit log."""
    table = make_table("time", "account", "operation", "object", "outcome", "details")
    for each in lines:
        row = (each.name or "nobody", each.operation, each.object, each.outcome, each.details)
        table.add_row(_format_time(each.time_ms), *row)
    print_table(table)


def _format_time(time_ms: int | None) -> str:
    """Return a time in UTC, to the second; "never" for none."""
    if time_ms is None:
        return "never"
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
