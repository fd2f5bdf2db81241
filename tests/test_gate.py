import asyncio
import gc
import sys
import time
from typing import Final

import anyio
import anyio.lowlevel
import pytest

from oauthkit.gate import Gate, gate_of, width_for

ASYNCIO: Final = pytest.mark.parametrize("anyio_backend", ["asyncio"])


class Crowd:
    """Visitors of a gate, and how many of them are inside."""

    def __init__(self, width: int) -> None:
        self.gate = Gate(width)
        self.inside = self.most = 0
        self.order: list[int] = []

    async def visit(self, number: int, leave: anyio.Event | None = None) -> None:
        if not self.gate.enter():
            await self.gate.wait(None)
        self.inside += 1
        self.most = max(self.most, self.inside)
        self.order.append(number)
        try:
            if leave is None:
                await anyio.lowlevel.checkpoint()
            else:
                await leave.wait()
        finally:
            self.inside -= 1
            self.gate.leave()


async def test_no_more_than_the_width_are_inside_and_everybody_gets_in() -> None:
    crowd = Crowd(3)
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            for number in range(100):
                tasks.start_soon(crowd.visit, number)
    assert (crowd.most, crowd.inside, len(crowd.order)) == (3, 0, 100)
    assert (crowd.gate.free, len(crowd.gate.waiting)) == (3, 0)


async def test_who_waits_goes_in_in_the_order_of_coming() -> None:
    crowd, leave = Crowd(1), anyio.Event()
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(crowd.visit, 0, leave)
            for number in range(1, 6):
                await anyio.wait_all_tasks_blocked()
                tasks.start_soon(crowd.visit, number)
            await anyio.wait_all_tasks_blocked()
            leave.set()
    assert crowd.order == [0, 1, 2, 3, 4, 5]


async def test_who_was_inside_before_goes_in_first_and_the_oldest_first_of_all() -> None:
    gate, order = Gate(1), list[str]()

    async def visit(name: str, ticket: int | None, seconds: float | None = None) -> None:
        try:
            await gate.wait(seconds, ticket=ticket)
        except TimeoutError:
            order.append(f"{name} gave up")
        else:
            order.append(name)
            gate.leave()

    assert gate.enter()
    first, second, third = gate.ticket(), gate.ticket(), gate.ticket()
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            for name, ticket in [("a", None), ("b", None), ("c", second), ("d", first)]:
                tasks.start_soon(visit, name, ticket)
                await anyio.wait_all_tasks_blocked()
            await visit("e", third, 0)
            gate.leave()
    assert order == ["e gave up", "d", "c", "a", "b"]
    assert (gate.free, len(gate.waiting)) == (1, 0)


async def test_a_place_that_is_left_is_not_taken_by_who_has_just_come() -> None:
    gate, order = Gate(1), list[str]()

    async def visit(name: str) -> None:
        await gate.wait(None)
        order.append(name)

    assert gate.enter()
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(visit, "who waited")
            await anyio.wait_all_tasks_blocked()
            gate.leave()
            assert not gate.enter()
    assert order == ["who waited"]


async def test_who_is_cancelled_while_waiting_leaves_no_hole() -> None:
    crowd, leave = Crowd(1), anyio.Event()
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(crowd.visit, 0, leave)
            await anyio.wait_all_tasks_blocked()
            with anyio.move_on_after(0):
                await crowd.visit(1)
            tasks.start_soon(crowd.visit, 2)
            await anyio.wait_all_tasks_blocked()
            leave.set()
    assert crowd.order == [0, 2]


async def test_who_is_cancelled_as_the_turn_comes_gives_it_to_the_next() -> None:
    """AT-78: the cancellation is on its way when the turn is given."""
    crowd, scope = Crowd(1), anyio.CancelScope()

    async def unlucky() -> None:
        with scope:
            await crowd.visit(1)

    with anyio.fail_after(5):
        assert crowd.gate.enter()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(unlucky)
            await anyio.wait_all_tasks_blocked()
            tasks.start_soon(crowd.visit, 2)
            await anyio.wait_all_tasks_blocked()
            scope.cancel()
            crowd.gate.leave()
    assert crowd.order == [2]
    assert crowd.gate.free == 1


@ASYNCIO
async def test_a_cancelled_task_gives_the_turn_it_just_got_to_the_next() -> None:
    """AT-78: asyncio delivers the cancellation although the event is set already."""
    crowd = Crowd(1)
    assert crowd.gate.enter()
    first = asyncio.create_task(crowd.visit(1))
    second = asyncio.create_task(crowd.visit(2))
    await asyncio.sleep(0)
    crowd.gate.leave()
    first.cancel()
    async with asyncio.timeout(5):
        await second
    with pytest.raises(asyncio.CancelledError):
        await first
    assert crowd.order == [2]
    assert crowd.gate.free == 1


async def test_a_wait_has_an_end_and_leaves_no_hole() -> None:
    gate = Gate(1)
    assert gate.enter()
    with anyio.fail_after(5):
        with pytest.raises(TimeoutError):
            await gate.wait(0.01)
        assert not gate.waiting
        gate.leave()
    assert gate.free == 1


async def test_no_place_is_lost_where_the_turn_and_the_end_of_the_wait_come_together() -> None:
    gate = Gate(1)

    async def hold_up_the_loop() -> None:
        time.sleep(0.02)  # noqa: ASYNC251 - both come due meanwhile
        gate.leave()

    assert gate.enter()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(hold_up_the_loop)
        try:
            await gate.wait(0.01)
        except TimeoutError:
            pass
        else:
            gate.leave()
    assert gate.free == 1
    assert not gate.waiting


@ASYNCIO
async def test_giving_up_costs_the_same_wherever_one_stands_in_the_queue() -> None:
    """A queue that is searched from the front takes 7 times as long for 5,000 from the back."""

    async def seconds(step: int) -> float:
        gate = Gate(0)
        tasks = [asyncio.create_task(gate.wait(60)) for _ in range(5_000)]
        await asyncio.sleep(0)
        gc.collect()  # now and not in one of the two
        start = time.process_time()
        for task in tasks[::step]:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert not gate.waiting
        return time.process_time() - start

    from_the_front = min([await seconds(1) for _ in range(2)])
    from_the_back = min([await seconds(-1) for _ in range(2)])
    assert from_the_back < 4 * from_the_front


async def test_a_gate_that_is_widened_lets_in_who_waits() -> None:
    crowd, leave = Crowd(1), anyio.Event()
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            for number in range(4):
                tasks.start_soon(crowd.visit, number, leave)
            await anyio.wait_all_tasks_blocked()
            crowd.gate.resize(3)
            await anyio.wait_all_tasks_blocked()
            assert crowd.inside == 3
            leave.set()
    assert crowd.gate.free == 3


async def test_a_gate_that_is_narrowed_lets_nobody_in_before_enough_have_left() -> None:
    gate = Gate(3)
    assert all([gate.enter(), gate.enter(), gate.enter()])
    gate.resize(1)
    assert not gate.enter()
    gate.leave()
    gate.leave()
    assert not gate.enter()
    gate.leave()
    assert gate.enter()


@pytest.mark.parametrize(
    "connections, api",
    [(0, 0), (1, 1), (2, 1), (3, 2), (10, 9), (19, 18), (20, 18), (100, 90), (1000, 984)],
)
def test_a_tenth_of_the_connections_is_left_for_renewals(connections: int, api: int) -> None:
    assert width_for(connections) == api


def test_a_pool_without_a_limit_needs_no_reserve() -> None:
    assert width_for(None) == sys.maxsize


def test_a_client_has_one_gate_or_none() -> None:
    client, other = Gate(1), Gate(1)  # any two objects
    assert gate_of(client, None) is None
    gate = gate_of(client, 10)
    assert gate is not None
    assert gate.free == 9
    assert gate_of(client, 10) is gate
    assert gate_of(other, 10) is not gate
