"""Check before an upgrade that no process of an older version works on the store."""

from __future__ import annotations

import time
from typing import Final

import sqlalchemy as sa

from search_spaces.errors import KerastudyError
from tracking.store.processes import describe_owner, is_alive

# Holders renew their leases every ten seconds, in every version so far.
_WATCH_S: Final = 12.0

# Columns that every version has; the tables of this one may be others.
_leases = sa.table("kerastudy_studies", *map(sa.column, ("name", "lease_owner", "lease_token", "lease_renewals")))
_HELD: Final = sa.select(_leases.c.name, _leases.c.lease_owner, _leases.c.lease_renewals).where(
    _leases.c.lease_token.is_not(None)
)


def check_unused(engine: sa.Engine, shown: str) -> None:
    """Check that nobody works on a store of an earlier version; watches holders that cannot be seen for a while.

    Raises:
        KerastudyError: if a process does.
    """
    held = _read_holders(engine)
    for study, (owner, _) in held.items():
        if is_alive(owner):
            raise _make_error(shown, study, owner)
    if any(is_alive(owner) is None for owner, _ in held.values()):
        time.sleep(_WATCH_S)
        for study, (owner, renewals) in _read_holders(engine).items():
            if is_alive(owner) is not False and held.get(study) != (owner, renewals):
                raise _make_error(shown, study, owner)


def _read_holders(engine: sa.Engine) -> dict[str, tuple[str, int]]:
    with engine.connect() as connection:
        return {row.name: (row.lease_owner, row.lease_renewals) for row in connection.execute(_HELD)}


def _make_error(shown: str, study: str, owner: str) -> KerastudyError:
    return KerastudyError(
        f"{shown} cannot be upgraded while an older kerastudy works on it: {describe_owner(owner)} runs {study}. "
        "Stop it with its version, which puts the study back, then open the store again; nothing was changed"
    )
