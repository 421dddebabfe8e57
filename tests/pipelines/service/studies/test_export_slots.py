"""Exports are few in all, and fewer of one account."""

from __future__ import annotations

import pytest

from pipelines.service.errors import BusyError, CeilingError
from pipelines.service.studies.export_slots import ExportSlots
from tracking.store.accounts import Identity

ANN, BOB, EVE = (Identity(name, name, "read") for name in ("ann", "bob", "eve"))


def test_one_account_does_not_block_the_exports_of_others():
    """Its second one is refused as its own fault, the third of all as the service's."""
    slots = ExportSlots(1)
    with slots.acquire(ANN):
        with pytest.raises(CeilingError, match=r"ceilings\.exports"), slots.acquire(ANN):
            pass
        with (
            slots.acquire(BOB),
            pytest.raises(BusyError, match=r"2 exports, .* run already") as refused,
            slots.acquire(EVE),
        ):
            pass
        assert not isinstance(refused.value, CeilingError)
    with slots.acquire(ANN):
        pass
