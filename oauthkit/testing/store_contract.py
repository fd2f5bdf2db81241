"""What any token store must do, as tests for whoever writes one.

Example:
    class TestMyStore(SharedStoreContract):
        @pytest.fixture(autouse=True)
        def _place(self, tmp_path):
            self.path = tmp_path / "tokens"

        def open(self, *, lease_seconds):
            return MyStore(self.path, lease_seconds=lease_seconds)

The tests are plain `async def` methods: run them by anyio's pytest plugin (`anyio_mode = "auto"`,
or `pytest.mark.anyio` on the class), or any other. Nothing here needs pytest itself.
"""

import time
import weakref
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final

import anyio
import anyio.abc
import anyio.from_thread
import anyio.lowlevel
import anyio.to_thread
import attrs

from oauthkit.errors import LeaseLost
from oauthkit.protocol.token import Token
from oauthkit.stores.base import Lease, TokenStore

ODD_KEYS: Final = (
    "",
    " ",
    "%",
    "a",
    "A",
    "a b",
    "a:b",
    "a/b",
    "../a",
    "a\0b",
    "{a}",
    "}{",
    "{}",
    "a'; DROP TABLE token; --",
    "*",
    "é",
    "e\N{COMBINING ACUTE ACCENT}",
    "\N{RIGHT-TO-LEFT OVERRIDE}ada",
    "\N{GRINNING FACE}",
    "a" * 1_000,
)
"""Keys that a store must tell apart."""

_DEADLINE: Final = 20.0
_LONG: Final = 60.0
_TASKS: Final = 8
_MANY: Final = 200


@attrs.frozen
class DocumentedToken(Token):
    """A token with fields of its own, as a documented system has them."""

    tenant: str | None = None
    level: int | None = None


RICH_TOKEN: Final = DocumentedToken(
    "access.\N{GRINNING FACE}",
    token_type="bEaReR",  # noqa: S106 - not a password
    issued_at=1_700_000_000.25,
    expires_at=4_102_444_800.5,
    refresh_token="refresh \u2028\"\\'",  # noqa: S106 - made up
    refresh_expires_at=4_133_980_800.0,
    scope="read write:é",
    id_token="a.b.c",  # noqa: S106 - made up
    tenant="Zürich",
    level=0,
    extra={
        "text": "\0\x7f",
        "numbers": [0, -1, 2**53, 0.1],
        "nothing": None,
        "yes": True,
        "deep": {"list": [[], {}], "": ""},
    },
)
"""A token with something in every place."""


class StoreContract(ABC):
    """Test a store by subclassing this; see the module's example."""

    lease_seconds: float = 0.3
    """How long a lease lives in the tests that outlive one."""
    moment: float = 0.1
    """How long a test watches that nothing happens."""

    @abstractmethod
    def open(self, *, lease_seconds: float) -> AbstractAsyncContextManager[TokenStore]:
        """Return what opens the store under test; it is empty when a test begins.

        Args:
            lease_seconds: How long its leases are to live.
        """
        ...

    async def stand_still(self, seconds: float) -> None:
        """Stop this process for a while, as SIGSTOP would; a store with a fake clock moves that.

        Args:
            seconds: How long.
        """
        # In the event loop's own thread, so that nothing there goes on, but below no coroutine: a
        # guard against blocking calls would take it for a mistake.
        await anyio.to_thread.run_sync(anyio.from_thread.run_sync, time.sleep, seconds)

    async def test_an_unknown_key_has_no_token(self) -> None:
        """Nothing was saved, so nothing is there."""
        async with self._store() as store:
            _same(await store.load("ada"), None, "load of an unknown key")

    async def test_a_saved_token_is_loaded(self) -> None:
        """The latest token that was saved is the one that is there."""
        async with self._store() as store:
            await store.save("ada", Token("one"))
            _same(await store.load("ada"), Token("one"), "load after save")
            await store.save("ada", Token("two"))
            _same(await store.load("ada"), Token("two"), "load after a second save")

    async def test_everything_in_a_token_is_kept(self) -> None:
        """Every field comes back, those of a subclass and unknown members among them."""
        async with self._store() as store:
            await store.save("ada", RICH_TOKEN)
            loaded = await store.load("ada")
            again = loaded and DocumentedToken.from_dict(loaded.to_dict())
            _same(again and again.to_dict(), RICH_TOKEN.to_dict(), "every member of the token")

    async def test_a_deleted_token_is_gone(self) -> None:
        """A key can be deleted, also when there is nothing under it, and used again."""
        async with self._store() as store:
            await store.delete("ada")
            await store.save("ada", Token("one"))
            await store.delete("ada")
            _same(await store.load("ada"), None, "load after delete")
            await store.save("ada", Token("two"))
            _same(await store.load("ada"), Token("two"), "load after a save after delete")

    async def test_odd_keys_are_kept_apart(self) -> None:
        """Any text is a key, and no two texts are the same key."""
        async with self._store() as store:
            for number, key in enumerate(ODD_KEYS):
                await store.save(key, Token(f"token-{number}"))
            for number, key in enumerate(ODD_KEYS):
                _same(await store.load(key), Token(f"token-{number}"), f"load of {key[:40]!a}")
                async with store.lease(key) as lease:
                    _same(await lease.load(), Token(f"token-{number}"), f"lease of {key[:40]!a}")

    async def test_many_keys_are_kept(self) -> None:
        """Keys do not push each other out, and deleting one leaves the others."""
        async with self._store() as store:
            for number in range(_MANY):
                await store.save(f"user-{number}", Token(f"token-{number}"))
            await store.delete("user-0")
            for number in range(1, _MANY):
                found = await store.load(f"user-{number}")
                _same(found, Token(f"token-{number}"), f"load of user-{number}")

    async def test_a_store_can_be_a_weak_key(self) -> None:
        """Sessions find what they share by their store."""
        async with self._store() as store:
            shared = weakref.WeakKeyDictionary({store: "shared"})
            _same(shared[store], "shared", "what is kept by the store")

    async def test_a_lease_gives_the_stored_token(self) -> None:
        """A lease that nobody else has is had at once, and tells what is stored now."""
        async with self._store() as store:
            async with store.lease("ada") as lease:
                _true(lease.held, "a free lease is held")
                _same(await lease.load(), None, "load in a lease of an unknown key")
            await store.save("ada", Token("one"))
            async with store.lease("ada") as lease:
                _same(await lease.load(), Token("one"), "load in a lease")
                await store.save("ada", Token("two"))
                _same(await lease.load(), Token("two"), "a second load in a lease")

    async def test_a_token_is_saved_under_a_lease(self) -> None:
        """A save is seen at once, inside and outside, also a second one, also of a new key."""
        async with self._store() as store:
            async with store.lease("ada") as lease:
                await lease.load()
                for name in ("one", "two"):
                    await lease.save(Token(name))
                    _same(await lease.load(), Token(name), "load in the lease after its save")
                    _same(await store.load("ada"), Token(name), "load outside after a save")
            _same(await store.load("ada"), Token("two"), "load after the lease")

    async def test_a_lease_has_one_holder(self) -> None:
        """Whoever comes second waits until the first has left."""
        async with self._store() as store, _holder(store, "ada") as first:
            _true(
                not await _lent(store, "ada", self.moment), "a lease that is held is not lent out"
            )
            first.leave()
            await self._free(store, "ada")

    async def test_leases_of_different_keys_do_not_wait_for_each_other(self) -> None:
        """Each key has a lease of its own."""
        async with self._store() as store, _holder(store, "ada"):
            await self._free(store, "grace")

    async def test_waiters_take_turns(self) -> None:
        """No renewal is lost, and no two happen at once."""
        inside = 0

        async def renew(store: TokenStore) -> None:
            nonlocal inside
            held = False
            while not held:
                async with store.lease("ada") as lease:
                    token, held = await lease.load(), lease.held
                    if not held or token is None:
                        continue
                    inside += 1
                    _same(inside, 1, "the number of holders")
                    await anyio.lowlevel.checkpoint()
                    await lease.save(Token(str(int(token.access_token) + 1)))
                    inside -= 1

        async with self._store() as store:
            await store.save("ada", Token("0"))
            async with anyio.create_task_group() as tasks:
                for _ in range(_TASKS):
                    tasks.start_soon(renew, store)
            _same(await store.load("ada"), Token(str(_TASKS)), "the token after all renewals")

    async def test_a_waiter_meets_the_renewed_token(self) -> None:
        """Who waited for a renewal finds its result; who got no lease by it cannot save."""

        async def wait(store: TokenStore) -> None:
            async with store.lease("ada") as lease:
                _same(await lease.load(), Token("two"), "what a waiter finds")
                await (lease.save(Token("two")) if lease.held else _refused(lease))

        async with self._store() as store:
            await store.save("ada", Token("one"))
            async with _holder(store, "ada") as first, anyio.create_task_group() as tasks:
                tasks.start_soon(wait, store)
                await anyio.sleep(self.moment)  # the waiter has seen that the lease is held
                await first.lease.save(Token("two"))
                await anyio.sleep(self.moment)
                first.leave()
            _same(await store.load("ada"), Token("two"), "the token after the waiter")

    async def test_a_failure_gives_the_lease_back(self) -> None:
        """What is raised inside a lease leaves it as it was raised."""
        async with self._store() as store:
            raised = RuntimeError("a failed renewal")
            try:
                async with store.lease("ada"):
                    raise raised
            except RuntimeError as error:
                _true(error is raised, "an error leaves the lease as it was raised")
            await self._free(store, "ada")

    async def test_a_cancelled_holder_gives_the_lease_back(self) -> None:
        """Cancelling a renewal blocks nobody."""
        async with self._store() as store:
            with anyio.CancelScope() as scope:
                async with store.lease("ada"):
                    scope.cancel()
                    await anyio.sleep(_DEADLINE)
            await self._free(store, "ada")

    async def test_a_cancelled_waiter_leaves_no_lease_behind(self) -> None:
        """However long it had been waiting."""
        async with self._store() as store, _holder(store, "ada") as first:
            for steps in range(_TASKS):
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(_lease_and_leave, store, "ada")
                    for _ in range(steps):
                        await anyio.lowlevel.checkpoint()
                    tasks.cancel_scope.cancel()
            first.leave()
            await self._free(store, "ada")

    async def test_a_cancelled_attempt_leaves_no_lease_behind(self) -> None:
        """A lease that is free may be granted just when the one who asked for it is cancelled."""
        async with self._store() as store:
            for steps in range(_TASKS):
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(_lease_and_leave, store, "ada")
                    for _ in range(steps):
                        await anyio.lowlevel.checkpoint()
                    tasks.cancel_scope.cancel()
                await self._free(store, "ada")

    async def test_a_login_takes_the_lease_away(self) -> None:
        """What was renewed meanwhile is older than the login, and is refused."""
        async with self._store() as store:
            await store.save("ada", Token("one"))
            async with _holder(store, "ada") as first:
                await store.save("ada", Token("login"))
                await _refused(first.lease)
                await self._free(store, "ada")
            _same(await store.load("ada"), Token("login"), "the token after the login")

    async def test_a_logout_takes_the_lease_away(self) -> None:
        """A token that was deleted while it was renewed does not come back."""
        async with self._store() as store:
            await store.save("ada", Token("one"))
            async with _holder(store, "ada") as first:
                await store.delete("ada")
                await _refused(first.lease)
                await self._free(store, "ada")
            _same(await store.load("ada"), None, "load after the logout")

    async def test_a_late_holder_does_not_disturb_the_next(self) -> None:
        """Leaving a lease that was lost does not give the next holder's away."""
        async with self._store() as store, _holder(store, "ada") as first:
            await store.delete("ada")
            async with _holder(store, "ada") as second:
                first.leave()
                await first.gone.wait()
                _true(not await _lent(store, "ada", self.moment), "the next holder's lease is held")
                await second.lease.save(Token("two"))
            _same(await store.load("ada"), Token("two"), "the next holder's token")

    async def test_a_lease_runs_out(self) -> None:
        """A process that stopped for longer than its lease lives blocks nobody, and is refused."""
        async with self._store(self.lease_seconds) as store:
            await store.save("ada", Token("one"))
            async with _holder(store, "ada") as first:
                await self.stand_still(self.lease_seconds * 1.5)
                async with _holder(store, "ada") as second:
                    await _refused(first.lease)
                    await second.lease.save(Token("two"))
                    await _refused(first.lease)
                await _refused(first.lease)
            _same(await store.load("ada"), Token("two"), "the token of the one in time")

    async def test_a_save_after_the_lease_ran_out_is_refused(self) -> None:
        """Also when nobody else has asked for the lease."""
        async with self._store(self.lease_seconds) as store:
            await store.save("ada", Token("one"))
            async with _holder(store, "ada") as first:
                await self.stand_still(self.lease_seconds * 1.5)
                await _refused(first.lease)
            _same(await store.load("ada"), Token("one"), "the token after a save that was refused")

    @asynccontextmanager
    async def _store(self, lease_seconds: float = _LONG) -> AsyncGenerator[TokenStore]:
        with anyio.fail_after(_DEADLINE):
            async with self.open(lease_seconds=lease_seconds) as store:
                yield store

    async def _free(self, store: TokenStore, key: str) -> None:
        """Require that a lease can be had, long before one would run out."""
        with anyio.fail_after(_LONG / 10):
            async with store.lease(key) as lease:
                _true(lease.held, "a lease that is free is held")


class SharedStoreContract(StoreContract):
    """Test a store that several processes share: opened twice, it is the same place."""

    async def test_a_token_is_seen_by_others(self) -> None:
        """What one saves or deletes, another finds."""
        async with self._store() as here, self._store() as there:
            await here.save("ada", RICH_TOKEN)
            loaded = await there.load("ada")
            _same(loaded and loaded.to_dict(), RICH_TOKEN.to_dict(), "load by another")
            await there.delete("ada")
            _same(await here.load("ada"), None, "load after another's delete")

    async def test_a_token_outlives_the_store_object(self) -> None:
        """What was saved is there when the store is opened again."""
        async with self._store() as store:
            await store.save("ada", Token("one"))
        async with self._store() as store:
            _same(await store.load("ada"), Token("one"), "load after opening again")

    async def test_a_lease_has_one_holder_among_all(self) -> None:
        """Nobody else has a lease that is held here."""
        async with self._store() as here, self._store() as there, _holder(here, "ada") as first:
            _true(not await _lent(there, "ada", self.moment), "a lease held by another is not lent")
            first.leave()
            await self._free(there, "ada")

    async def test_another_login_or_logout_takes_the_lease_away(self) -> None:
        """A save here is refused after what happened there."""
        async with self._store() as here, self._store() as there:
            async with _holder(here, "ada") as first:
                await there.save("ada", Token("login"))
                await _refused(first.lease)
            async with _holder(here, "ada") as first:
                await there.delete("ada")
                await _refused(first.lease)
            _same(await here.load("ada"), None, "load after the logout")

    async def test_a_lease_runs_out_for_all(self) -> None:
        """A process that stopped does not overwrite what another has renewed meanwhile."""
        async with self._store(self.lease_seconds) as here, self._store() as there:
            async with _holder(here, "ada") as first:
                await self.stand_still(self.lease_seconds * 1.5)
                async with _holder(there, "ada") as second:
                    await second.lease.save(Token("two"))
                await _refused(first.lease)
            _same(await here.load("ada"), Token("two"), "the token of the one in time")


@attrs.frozen(eq=False)
class _Holder:
    """Somebody who holds a lease, in a task of their own."""

    lease: Lease
    leaving: anyio.Event
    gone: anyio.Event

    def leave(self) -> None:
        """Give the lease back, soon."""
        self.leaving.set()


@asynccontextmanager
async def _holder(store: TokenStore, key: str) -> AsyncGenerator[_Holder]:
    async with anyio.create_task_group() as tasks:
        holder: _Holder = await tasks.start(_hold, store, key)
        yield holder
        holder.leave()


async def _hold(store: TokenStore, key: str, *, task_status: anyio.abc.TaskStatus[_Holder]) -> None:
    gone = anyio.Event()
    async with store.lease(key) as lease:
        _true(lease.held, "a lease that is free is held")
        holder = _Holder(lease, anyio.Event(), gone)
        task_status.started(holder)
        await holder.leaving.wait()
    gone.set()


async def _lease_and_leave(store: TokenStore, key: str) -> None:
    async with store.lease(key):
        pass


async def _lent(store: TokenStore, key: str, moment: float) -> bool:
    with anyio.move_on_after(moment) as scope:
        await _lease_and_leave(store, key)
    return not scope.cancelled_caught


async def _refused(lease: Lease) -> None:
    try:
        await lease.save(Token("too late"))
    except LeaseLost:
        return
    _true(met=False, what="a save without the lease is refused by LeaseLost")


def _same(found: object, wanted: object, what: str) -> None:
    if found != wanted:
        message = f"{what}: wanted {wanted!r}, found {found!r}"
        raise AssertionError(message)


def _true(met: bool, what: str) -> None:  # noqa: FBT001 - reads as a sentence
    if not met:
        message = f"not so: {what}"
        raise AssertionError(message)
