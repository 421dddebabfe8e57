"""One account leaves turns to others, and its own further requests wait."""

from __future__ import annotations

import asyncio

import pytest

from pipelines.service.errors import CeilingError
from pipelines.service.mlflow.request_turns import RequestTurns
from tracking.store.accounts import Identity

ANN, BOB = (Identity(name, name, "read") for name in ("ann", "bob"))


def test_an_account_has_so_many_turns():
    """One more is refused after a time; another account has its own, and a turn that ends is free again."""

    async def run():
        turns = RequestTurns(2, patience_s=0.01)
        async with turns.take(ANN):
            async with turns.take(ANN):
                with pytest.raises(CeilingError, match="ann has 2 requests to MLflow that last"):
                    async with turns.take(ANN):
                        pass
                async with turns.take(BOB):
                    pass
            async with turns.take(ANN):
                pass

    asyncio.run(run())


def test_a_request_waits_for_a_turn():
    """A page sends more requests at once than its account has turns."""

    async def run():
        turns, most, now = RequestTurns(3), 0, 0

        async def request():
            nonlocal most, now
            async with turns.take(ANN):
                now += 1
                most = max(most, now)
                await asyncio.sleep(0)
                now -= 1

        await asyncio.gather(*(request() for _ in range(20)))
        assert most == 3

    asyncio.run(run())
