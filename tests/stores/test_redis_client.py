"""What the seam to the Redis drivers does where a driver fails."""

import asyncio
from typing import Any

import anyio
import pytest

from oauthkit import StoreError
from oauthkit.stores.redis_client import _CoredisLine, read_left


class Failing:
    """A driver that cannot say how long a key lives."""

    async def left_ms(self, key: str) -> int:
        raise ConnectionError(key)


class Line:
    """A subscription of a driver's, which may take its time to open."""

    def __init__(self, *, opens: bool = True) -> None:
        self.opens = opens

    async def __aenter__(self) -> None:
        if not self.opens:
            await anyio.sleep_forever()

    async def __aexit__(self, *_: object) -> None:
        """Leave nothing behind."""

    async def subscribe(self, channel: str) -> None:
        """Take any."""

    async def unsubscribe(self, channel: str) -> None:
        """Take any."""

    async def get_message(self, *, timeout: float) -> object:  # noqa: ASYNC109 - the driver's own
        return {"type": "subscribe"}


async def look() -> None:
    message = "away"
    raise StoreError(message)


async def test_a_server_that_cannot_be_asked_for_a_lease_is_a_store_that_failed() -> None:
    client: Any = Failing()
    with pytest.raises(StoreError, match="could not be asked") as caught:
        await read_left(client, "secret-key")
    assert "secret-key" not in str(caught.value)


async def test_who_cannot_look_as_the_line_opens_learns_why() -> None:
    line = _CoredisLine[None](Line(), "channel", look)
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(line.run, tasks.cancel_scope)
            with pytest.raises(StoreError, match="away"):
                await line.opened()
            line.closing.set()


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("given_up", [True, False])
async def test_a_line_that_is_cancelled_goes_with_who_gave_up_and_with_nobody_else(
    *, given_up: bool
) -> None:
    """The end of asyncio.run cancels each task by itself."""
    line, wait = _CoredisLine[None](Line(opens=False), "channel", look), anyio.CancelScope()
    if given_up:
        wait.cancel()
    task = asyncio.ensure_future(line.run(wait))
    await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled() is given_up
