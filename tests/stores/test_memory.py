import threading
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from oauthkit import ConfigurationError, LeaseLost, MemoryStore, Token
from oauthkit.testing import FakeClock

OLD, NEW = Token("old", refresh_token="r1"), Token("new", refresh_token="r2")


class Watcher:
    """Write down which keys changed, and keep copies that are used without a word to the store."""

    def __init__(self, *used: str) -> None:
        self.keys: list[str] = []
        self.used = set(used)
        self.asked: list[str] = []

    def forget(self, key: str, /) -> None:
        self.keys.append(key)

    def in_use(self, key: str, /) -> bool:
        self.asked.append(key)
        used = key in self.used
        self.used.discard(key)
        return used


async def stored_in(store: MemoryStore, keys: str) -> str:
    """Return which of the keys are stored, without touching them."""
    return "".join(key for key in keys if key in store._rows)


async def test_what_was_saved_is_loaded() -> None:
    store = MemoryStore()
    assert await store.load("k") is None
    await store.save("k", OLD)
    assert await store.load("k") == OLD
    assert await store.load("other") is None


async def test_what_was_deleted_is_gone() -> None:
    store = MemoryStore()
    await store.save("k", OLD)
    await store.delete("k")
    await store.delete("k")
    assert await store.load("k") is None


async def test_a_lease_loads_and_saves() -> None:
    store = MemoryStore()
    await store.save("k", OLD)
    async with store.lease("k") as lease:
        assert lease.held
        assert await lease.load() == OLD
        await lease.save(NEW)
        assert await lease.load() == NEW
    assert await store.load("k") == NEW


async def test_one_holder_at_a_time() -> None:
    store, inside = MemoryStore(), 0

    async def hold() -> None:
        nonlocal inside
        async with store.lease("k"):
            inside += 1
            assert inside == 1
            await anyio.lowlevel.checkpoint()
            inside -= 1

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(hold)


async def test_leases_of_two_keys_do_not_meet() -> None:
    store = MemoryStore()
    with anyio.fail_after(5):
        async with store.lease("a"), store.lease("b"):
            pass


async def test_who_waits_for_a_lease_may_leave() -> None:
    store = MemoryStore()
    async with store.lease("k"):
        with anyio.move_on_after(0.01) as scope:
            async with store.lease("k"):
                raise AssertionError
        assert scope.cancelled_caught


async def test_a_lease_runs_out_and_its_holder_is_refused() -> None:
    """The fence: a holder that was stopped wakes up too late."""
    clock = FakeClock()
    store = MemoryStore(lease_seconds=60, clock=clock.monotonic)
    await store.save("k", OLD)
    async with store.lease("k") as stopped:
        clock.advance(60)
        async with store.lease("k") as lease:
            await lease.save(NEW)
        with pytest.raises(LeaseLost):
            await stopped.save(OLD)
    assert await store.load("k") == NEW


async def test_a_lease_that_ran_out_is_a_right_to_save_until_somebody_else_comes() -> None:
    clock = FakeClock()
    store = MemoryStore(lease_seconds=60, clock=clock.monotonic)
    async with store.lease("k") as lease:
        held = [lease.held]
        for seconds in (59, 1):
            clock.advance(seconds)
            held.append(lease.held)
        assert held == [True, True, False]
        await lease.save(NEW)
    assert await store.load("k") == NEW


async def test_a_lease_is_not_held_once_somebody_else_has_it() -> None:
    clock = FakeClock()
    store = MemoryStore(lease_seconds=60, clock=clock.monotonic)
    async with store.lease("k") as stopped:
        clock.advance(60)
        async with store.lease("k") as lease:
            assert (stopped.held, lease.held) == (False, True)
            await store.delete("k")
            assert not lease.held
    assert not lease.held


async def test_a_login_or_a_logout_takes_the_lease_away() -> None:
    store = MemoryStore()
    await store.save("k", OLD)
    async with store.lease("k") as lease:
        await store.save("k", NEW)
        with pytest.raises(LeaseLost):
            await lease.save(OLD)
    async with store.lease("k") as lease:
        await store.delete("k")
        with pytest.raises(LeaseLost):
            await lease.save(OLD)
    assert await store.load("k") is None


async def test_a_first_token_is_not_saved_after_a_logout() -> None:
    store = MemoryStore()
    async with store.lease("k") as lease:
        await store.delete("k")
        with pytest.raises(LeaseLost):
            await lease.save(NEW)


async def test_fences_grow_beyond_rows_that_were_forgotten() -> None:
    store = MemoryStore()
    async with store.lease("k") as stopped:
        await store.delete("k")
        async with store.lease("k"):
            with pytest.raises(LeaseLost):
                await stopped.save(OLD)


async def test_a_lease_without_a_save_leaves_nothing_behind() -> None:
    store = MemoryStore()
    for number in range(10):
        async with store.lease(str(number)):
            pass
    assert len(store._rows) == 0


async def test_no_more_than_capacity_keys_are_kept_and_the_unused_go_first() -> None:
    store = MemoryStore(capacity=3)
    for key in "abc":
        await store.save(key, OLD)
    await store.load("a")
    await store.save("d", NEW)
    assert [await store.load(key) is not None for key in "abcd"] == [True, False, True, True]
    assert len(store._rows) == 3


async def test_a_key_whose_copy_is_used_is_not_forgotten_before_an_unused_one() -> None:
    """However often it is used, the store does not hear of it, but for being asked."""
    store, watcher = MemoryStore(capacity=3), Watcher()
    store.watch(watcher)
    for key in "abc":
        await store.save(key, OLD)
    for cold in "defgh":
        watcher.used.add("a")
        await store.save(cold, NEW)
    assert await stored_in(store, "abcdefgh") == "agh"


async def test_a_second_chance_ends_when_the_copy_is_used_no_more() -> None:
    store, watcher = MemoryStore(capacity=2), Watcher("a")
    store.watch(watcher)
    for key in "abcde":
        await store.save(key, OLD)
    assert await stored_in(store, "abcde") == "de"


async def test_when_all_are_in_use_the_oldest_is_forgotten() -> None:
    store, watcher = MemoryStore(capacity=3), Watcher(*"abc")
    store.watch(watcher)
    for key in "abcd":
        await store.save(key, OLD)
    assert watcher.asked == ["a", "b", "c"]
    assert await stored_in(store, "abcd") == "bcd"


async def test_every_keeper_of_copies_is_asked() -> None:
    """Or one of them would go on with its copy, and the next use would not come to the store."""
    store, watchers = MemoryStore(capacity=1), [Watcher("a"), Watcher("a")]
    for watcher in watchers:
        store.watch(watcher)
    for key in "ab":
        await store.save(key, OLD)
    assert [watcher.used for watcher in watchers] == [set(), set()]


async def test_a_key_under_a_lease_is_not_asked_about() -> None:
    store, watcher = MemoryStore(capacity=1), Watcher()
    store.watch(watcher)
    async with store.lease("a"):
        for key in "bc":
            await store.save(key, OLD)
        assert watcher.asked == ["b"]
        assert await stored_in(store, "abc") == "ac"


async def test_a_key_under_a_lease_is_never_forgotten() -> None:
    store = MemoryStore(capacity=1)
    async with store.lease("a") as first, store.lease("b") as second:
        await store.save("c", OLD)
        await first.save(NEW)
        await second.save(NEW)
        assert await store.load("a") == await store.load("b") == NEW
    await store.save("d", OLD)
    assert len(store._rows) == 1


async def test_watchers_hear_of_logins_and_logouts_and_not_of_renewals() -> None:
    store, watcher = MemoryStore(), Watcher()
    store.watch(watcher)
    await store.save("a", OLD)
    async with store.lease("b") as lease:
        await lease.save(NEW)
    await store.delete("c")
    assert watcher.keys == ["a", "c"]


async def test_a_watcher_that_is_gone_is_not_told() -> None:
    store = MemoryStore()
    store.watch(Watcher())
    await store.save("a", OLD)
    assert not list(store._watchers)


@pytest.mark.parametrize("setting", [{"capacity": 0}, {"lease_seconds": 0}])
def test_a_store_that_cannot_work_is_refused(setting: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="capacity of at least 1 and lease_seconds above"):
        MemoryStore(**setting)


def test_threads_with_event_loops_of_their_own_share_one_lease() -> None:
    store, inside, most = MemoryStore(), 0, 0

    async def renew() -> None:
        nonlocal inside, most
        for _ in range(20):
            async with store.lease("k") as lease:
                inside += 1
                most = max(most, inside)
                await anyio.lowlevel.checkpoint()
                await lease.save(NEW)
                inside -= 1

    threads = [threading.Thread(target=anyio.run, args=(renew,), daemon=True) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert (most, inside) == (1, 0)
