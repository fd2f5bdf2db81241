"""So many renewals begin in one turn of the event loop."""

from collections import Counter
from typing import Protocol

import anyio
import anyio.lowlevel
import pytest

from oauthkit import MemoryStore, Token
from oauthkit.renewal.pace import Pace, pace
from oauthkit.testing import FakeAuthorizationServer

KEYS = 200


class CountsTurns(Protocol):
    turn: int


async def count_turns(seen: CountsTurns) -> None:
    """Count the turns of the event loop."""
    while True:
        await anyio.lowlevel.checkpoint()
        seen.turn += 1


class Begun:
    """Begin at a pace, and note who did in which turn of the event loop."""

    def __init__(self, portion: int = 3) -> None:
        self.pace = Pace(portion)
        self.turn = 0
        self.came: list[int] = []
        self.order: list[int] = []
        self.by_turn = Counter[int]()

    async def begin(self, number: int) -> None:
        self.came.append(number)
        await self.pace.begin()
        self.order.append(number)
        self.by_turn[self.turn] += 1


async def test_so_many_begin_in_one_turn_and_all_in_the_end() -> None:
    begun = Begun(portion=3)
    async with anyio.create_task_group() as counting:
        counting.start_soon(count_turns, begun)
        with anyio.fail_after(5):
            async with anyio.create_task_group() as tasks:
                for number in range(100):
                    tasks.start_soon(begun.begin, number)
        counting.cancel_scope.cancel()
    assert sorted(begun.order) == list(range(100))
    assert max(begun.by_turn.values()) <= 3
    # those that begin in one turn come in any order
    places = {number: place for place, number in enumerate(begun.came)}
    assert all(abs(places[number] - place) < 3 for place, number in enumerate(begun.order))


async def test_who_comes_alone_waits_for_one_turn() -> None:
    begun = Begun()
    with anyio.fail_after(5):
        for number in range(3):
            await begun.begin(number)
    assert begun.order == [0, 1, 2]


@pytest.mark.parametrize("cancelled", [0, 1, 3, 4, 6])
async def test_who_is_cancelled_keeps_nobody(cancelled: int) -> None:
    """On asyncio number 0 leads first, and 3 after it; on trio they come in any order."""
    begun, scopes = Begun(portion=3), [anyio.CancelScope() for _ in range(9)]

    async def begin(number: int) -> None:
        with scopes[number]:
            await begun.begin(number)

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            for number in range(9):
                tasks.start_soon(begin, number)
            while not begun.pace._waiting:
                await anyio.lowlevel.checkpoint()
            scopes[cancelled].cancel()
        await begun.begin(9)
    assert {*begun.order, cancelled} == set(range(10))
    assert len(begun.order) >= 9


async def test_a_leader_that_is_cancelled_as_it_is_called_hands_on() -> None:
    """On asyncio number 0 calls number 1; on trio they come in any order."""
    begun, scope = Begun(portion=1), anyio.CancelScope()

    async def call() -> None:
        await begun.begin(0)
        scope.cancel()

    async def be_called() -> None:
        with scope:
            await begun.begin(1)

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            for work in (call, be_called):
                tasks.start_soon(work)
            tasks.start_soon(begun.begin, 2)
        await begun.begin(3)
    assert {*begun.order, 1} == set(range(4))


async def test_an_event_loop_has_one() -> None:
    assert pace() is pace()


class Watched(MemoryStore):
    """A store that notes in which turn of the event loop it is looked at."""

    def __init__(self) -> None:
        super().__init__()
        self.turn = 0
        self.looks = Counter[int]()

    async def load(self, key: str, /) -> Token | None:
        self.looks[self.turn] += 1
        return await super().load(key)


async def test_keys_that_are_asked_for_together_do_not_keep_the_event_loop() -> None:
    fake, store = FakeAuthorizationServer(), Watched()
    for number in range(KEYS):
        await store.save(f"user {number}", fake.issue())
    fake.advance(61)

    with anyio.fail_after(20):
        async with fake.session(store=store, key="app") as app, anyio.create_task_group() as others:
            others.start_soon(count_turns, store)
            async with anyio.create_task_group() as tasks:
                for number in range(KEYS):
                    tasks.start_soon(app.for_key(f"user {number}").token)
            others.cancel_scope.cancel()
    assert len(fake.token_requests) == KEYS
    assert max(store.looks.values()) <= 32 + 16  # these look again, under their leases
