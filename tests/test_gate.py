import asyncio

import anyio
import anyio.lowlevel
import pytest

from oauthkit.gate import Gate


class Crowd:
    """Visitors of a gate, and how many of them are inside."""

    def __init__(self, width: int) -> None:
        self.gate = Gate(width)
        self.inside = self.most = 0
        self.order: list[int] = []

    async def visit(self, number: int, leave: anyio.Event | None = None) -> None:
        async with self.gate:
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


async def test_no_more_than_the_width_are_inside_and_everybody_gets_in() -> None:
    crowd = Crowd(3)
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            for number in range(100):
                tasks.start_soon(crowd.visit, number)
    assert (crowd.most, crowd.inside, len(crowd.order)) == (3, 0, 100)


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


async def test_an_open_gate_switches_no_task() -> None:
    crowd, switched = Crowd(1), False

    async def other() -> None:
        nonlocal switched
        switched = True

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(other)
        async with crowd.gate:
            pass
        assert not switched


async def test_an_error_inside_makes_room() -> None:
    gate = Gate(1)
    with pytest.raises(ZeroDivisionError):
        async with gate:
            raise ZeroDivisionError
    with anyio.fail_after(5):
        async with gate:
            pass


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
        await crowd.gate.__aenter__()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(unlucky)
            await anyio.wait_all_tasks_blocked()
            tasks.start_soon(crowd.visit, 2)
            await anyio.wait_all_tasks_blocked()
            scope.cancel()
            await crowd.gate.__aexit__()
    assert crowd.order == [2]
    assert crowd.gate._free == 1


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_cancelled_task_gives_the_turn_it_just_got_to_the_next() -> None:
    """AT-78: asyncio delivers the cancellation although the event is set already."""
    gate = Gate(1)
    await gate.__aenter__()
    order: list[str] = []

    async def visit(name: str) -> None:
        async with gate:
            order.append(name)

    first = asyncio.create_task(visit("first"))
    second = asyncio.create_task(visit("second"))
    await asyncio.sleep(0)
    await gate.__aexit__()
    first.cancel()
    async with asyncio.timeout(5):
        await second
    with pytest.raises(asyncio.CancelledError):
        await first
    assert order == ["second"]
    assert gate._free == 1
