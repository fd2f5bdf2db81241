"""What there is once in each event loop."""

import gc
from pathlib import Path
from weakref import ref

import anyio
import anyio.to_thread
import attrs

from oauthkit.stores.per_loop import PerLoop
from oauthkit.stores.sqlite import SQLiteStore
from oauthkit.testing.holders import lease_and_leave


@attrs.define(eq=False)
class Thing:
    """Something that can be told from others, and forgotten."""


THINGS = PerLoop[Thing]("tests.stores.test_per_loop")


async def test_each_owner_has_one() -> None:
    one, other = Thing(), Thing()
    assert THINGS.of(one, Thing) is THINGS.of(one, Thing)
    assert THINGS.of(one, Thing) is not THINGS.of(other, Thing)


async def test_it_goes_with_its_owner() -> None:
    owner = Thing()
    kept = ref(THINGS.of(owner, Thing))
    gc.collect()
    assert kept() is not None
    del owner
    gc.collect()
    assert kept() is None


async def test_another_event_loop_has_another(anyio_backend_name: str) -> None:
    owner = Thing()

    async def there() -> Thing:
        return THINGS.of(owner, Thing)

    def elsewhere() -> Thing:
        return anyio.run(there, backend=anyio_backend_name)

    found = await anyio.to_thread.run_sync(elsewhere)
    assert found is not THINGS.of(owner, Thing)


def limiters() -> int:
    gc.collect()
    return sum(type(kept).__name__.startswith("CapacityLimiter") for kept in gc.get_objects())


async def test_stores_that_are_gone_leave_nothing_in_the_event_loop(tmp_path: Path) -> None:
    """A server may open one for each of its users, and runs one event loop for months."""

    async def use() -> None:
        async with SQLiteStore(tmp_path / "tokens.db") as store:
            await lease_and_leave(store, "ada")

    await use()
    before = limiters()
    for _ in range(5):
        await use()
    with anyio.fail_after(5):
        while limiters() > before:  # noqa: ASYNC110 - a thread lets go of its last job by and by
            await anyio.sleep(0.01)
