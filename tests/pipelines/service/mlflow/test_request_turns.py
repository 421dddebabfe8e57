"""Accounts leave turns to others and to the service, and their own further requests wait."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest

from pipelines.service.errors import BusyError, CeilingError
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


def test_accounts_that_take_all_they_can_leave_turns_to_the_next():
    """Four accounts that hold what they get are met by a fifth that gets a turn, and all together have a limit."""

    async def run():
        turns, held = RequestTurns(12, 32, patience_s=0.01), []
        async with AsyncExitStack() as stack:
            for name in "abcd":
                taken = 0
                with pytest.raises(BusyError):
                    while True:
                        await stack.enter_async_context(turns.take(Identity(name, name, "read")))
                        taken += 1
                held.append(taken)
            await stack.enter_async_context(turns.take(BOB))
        assert held == [12, 10, 5, 3]
        async with turns.take(ANN):  # all are free again
            pass

    asyncio.run(run())


def test_who_waits_for_others_is_not_to_blame():
    """The error of a request that gets no turn because of others is no ceiling of its account."""

    async def run():
        turns = RequestTurns(2, 1, patience_s=0.01)
        async with turns.take(ANN):
            with pytest.raises(BusyError, match="send the request again") as raised:
                async with turns.take(BOB):
                    pass
        assert not isinstance(raised.value, CeilingError)

    asyncio.run(run())


def test_a_free_turn_goes_to_the_account_with_the_fewest():
    """A request of an account that holds none passes the longer queue of another one."""

    async def run():
        turns, order = RequestTurns(2, 3), []

        async def request(who):
            async with turns.take(who):
                order.append(who.name)
                await asyncio.sleep(0)

        async with turns.take(ANN), turns.take(Identity("cleo", "cleo", "read")):
            # Of three turns one is free, and Ann holds as many.
            tasks = [asyncio.create_task(request(ANN)) for _ in range(3)]
            await asyncio.sleep(0)
            tasks.append(asyncio.create_task(request(BOB)))
            await asyncio.sleep(0)
            assert order == ["bob"]
        await asyncio.gather(*tasks)
        assert order == ["bob", "ann", "ann", "ann"]

    asyncio.run(run())


def test_a_request_that_is_given_up_keeps_no_turn():
    """A client that leaves while it waits, or in the moment of its turn, holds nothing afterwards."""

    async def run():
        turns = RequestTurns(1)

        async def request():
            async with turns.take(ANN):
                await asyncio.Event().wait()

        for is_given in (False, True):
            async with turns.take(ANN):
                waits = asyncio.create_task(request())
                await asyncio.sleep(0)
                if not is_given:
                    waits.cancel()
                    await asyncio.wait([waits])
            if is_given:
                waits.cancel()
                await asyncio.wait([waits])
            assert not turns._held
            assert not turns._waiting

    asyncio.run(run())
