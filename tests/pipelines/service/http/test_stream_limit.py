"""Open streams are counted, of each account and in all, and one too many is refused."""

from __future__ import annotations

import pytest

from pipelines.service.errors import BusyError, CeilingError
from pipelines.service.http.stream_limit import StreamLimit
from tracking.store.accounts import Identity

ANN, BOB, ROOT = Identity("1", "ann", "read"), Identity("2", "bob", "read"), Identity("3", "root", "admin")


def test_a_stream_that_ends_makes_room():
    """Also one that ends with an error."""
    streams = StreamLimit(most=1)
    with pytest.raises(OSError, match="gone"), streams.acquire(ANN):
        with pytest.raises(BusyError, match="1 clients follow"):
            streams.check_capacity(BOB)
        with pytest.raises(BusyError), streams.acquire(BOB):
            pass
        raise OSError("gone")
    streams.check_capacity(ANN)
    with streams.acquire(ANN):
        pass
    assert streams.count == 0


def test_one_account_does_not_take_all():
    """Others have their own, and admins no ceiling."""
    streams = StreamLimit(most=4, most_each=1)
    with streams.acquire(ANN):
        with pytest.raises(CeilingError, match=r"ann follows 1 .*ceilings\.followers"):
            streams.check_capacity(ANN)
        with streams.acquire(BOB), streams.acquire(ROOT), streams.acquire(ROOT):
            assert streams.count == 4
