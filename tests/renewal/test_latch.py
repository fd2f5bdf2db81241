"""What happens once, and may be waited for: as an event of anyio, but made later."""

import anyio
import pytest
from anyio.lowlevel import checkpoint

from oauthkit.renewal.latch import Latch


async def test_everybody_who_waits_goes_on_when_it_happens() -> None:
    latch, gone = Latch(), list[int]()

    async def wait(number: int) -> None:
        await latch.wait()
        gone.append(number)

    async with anyio.create_task_group() as tasks:
        for number in range(3):
            tasks.start_soon(wait, number)
        await anyio.wait_all_tasks_blocked()
        assert not latch.is_set()
        assert gone == []
        latch.set()
        assert latch.is_set()
    assert sorted(gone) == [0, 1, 2]


async def test_who_waits_for_what_has_happened_lets_others_run() -> None:
    latch, ran = Latch(), list[str]()
    latch.set()

    async def other() -> None:
        ran.append("other")
        await checkpoint()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(other)
        for _ in range(2):  # trio runs what is due at one moment in any order
            await latch.wait()
        assert ran == ["other"]


async def test_who_waits_can_be_cancelled_and_the_others_wait_on() -> None:
    latch = Latch()
    with anyio.move_on_after(0.01) as scope:
        await latch.wait()
    assert scope.cancelled_caught
    with anyio.fail_after(1):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(latch.wait)
            await anyio.wait_all_tasks_blocked()
            latch.set()


async def test_who_is_cancelled_already_does_not_get_past_one_that_has_happened() -> None:
    latch = Latch()
    latch.set()
    with anyio.CancelScope() as scope:
        scope.cancel()
        await latch.wait()
        pytest.fail("a cancelled task went on")
