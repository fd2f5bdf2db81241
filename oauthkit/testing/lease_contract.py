"""What the leases of any token store must do; `oauthkit.testing.store_contract` has the rest."""

import time
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final

import anyio
import anyio.from_thread
import anyio.lowlevel
import anyio.to_thread

from oauthkit.protocol.token import Token
from oauthkit.stores.base import Lease, TokenStore
from oauthkit.testing.holders import (
    holding,
    is_lent,
    lease_and_leave,
    require,
    require_deletion,
    require_refusal,
    require_same,
    require_save,
)

_DEADLINE: Final = 20.0
_LONG: Final = 60.0
_TASKS: Final = 8


class LeaseContract(ABC):
    """Test the leases of a store; `StoreContract` stands on this."""

    lease_seconds: float = 0.3
    """How long a lease lives in the tests that outlive one."""
    moment: float = 0.1
    """How long a test watches that nothing happens."""

    @abstractmethod
    def open(self, *, lease_seconds: float) -> AbstractAsyncContextManager[TokenStore]:
        """Return what opens the store under test; it is empty when a test begins.

        A store that nobody has to open is given as `contextlib.nullcontext(store)`.

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

    async def test_a_lease_gives_the_stored_token(self) -> None:
        """A lease that nobody else has is had at once, and tells what is stored now."""
        async with self._store() as store:
            async with store.lease("ada") as lease:
                require(lease.held, "a free lease is held")
                require_same(await lease.load(), None, "load in a lease of an unknown key")
            await store.save("ada", Token("one"))
            async with store.lease("ada") as lease:
                require_same(await lease.load(), Token("one"), "load in a lease")
                await store.save("ada", Token("two"))
                require_same(await lease.load(), Token("two"), "a second load in a lease")

    async def test_a_token_is_saved_under_a_lease(self) -> None:
        """A save is seen at once, inside and outside, also a second one, also of a new key."""
        async with self._store() as store:
            async with store.lease("ada") as lease:
                await lease.load()
                for name in ("one", "two"):
                    await lease.save(Token(name))
                    require_same(
                        await lease.load(), Token(name), "load in the lease after its save"
                    )
                    require_same(await store.load("ada"), Token(name), "load outside after a save")
            require_same(await store.load("ada"), Token("two"), "load after the lease")

    async def test_a_lease_has_one_holder(self) -> None:
        """Whoever comes second waits until the first has left."""
        async with self._store() as store, holding(store, "ada") as first:
            require(
                not await is_lent(store, "ada", self.moment), "a lease that is held is not lent out"
            )
            first.leave()
            await self._free(store, "ada")

    async def test_leases_of_different_keys_do_not_wait_for_each_other(self) -> None:
        """Each key has a lease of its own."""
        async with self._store() as store, holding(store, "ada"):
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
                    require_same(inside, 1, "the number of holders")
                    await anyio.lowlevel.checkpoint()
                    await lease.save(Token(str(int(token.access_token) + 1)))
                    inside -= 1

        async with self._store() as store:
            await store.save("ada", Token("0"))
            async with anyio.create_task_group() as tasks:
                for _ in range(_TASKS):
                    tasks.start_soon(renew, store)
            require_same(
                await store.load("ada"), Token(str(_TASKS)), "the token after all renewals"
            )

    async def test_a_waiter_meets_the_renewed_token(self) -> None:
        """Who waited for a renewal finds its result; who got no lease by it cannot save."""

        async def wait(store: TokenStore) -> None:
            async with store.lease("ada") as lease:
                require_same(await lease.load(), Token("two"), "what a waiter finds")
                await (lease.save(Token("two")) if lease.held else require_refusal(lease))

        async with self._store() as store:
            await store.save("ada", Token("one"))
            async with holding(store, "ada") as first, anyio.create_task_group() as tasks:
                tasks.start_soon(wait, store)
                await anyio.sleep(self.moment)  # the waiter has seen that the lease is held
                await first.lease.save(Token("two"))
                await anyio.sleep(self.moment)
                first.leave()
            require_same(await store.load("ada"), Token("two"), "the token after the waiter")

    async def test_who_stops_waiting_takes_nobody_along(self) -> None:
        """One may wait for all; when that one goes, another waits in its place."""
        met: list[Token | None] = []

        async def wait(store: TokenStore) -> None:
            async with store.lease("ada") as lease:
                met.append(await lease.load())

        async with self._store() as store:
            await store.save("ada", Token("one"))
            with anyio.fail_after(_DEADLINE):
                async with holding(store, "ada") as first, anyio.create_task_group() as staying:
                    async with anyio.create_task_group() as leaving:
                        leaving.start_soon(wait, store)
                        await anyio.sleep(self.moment / 2)
                        for _ in range(_TASKS):
                            staying.start_soon(wait, store)
                        await anyio.sleep(self.moment / 2)
                        leaving.cancel_scope.cancel()
                    require_same(met, [], "what was met while the lease was held")
                    await first.lease.save(Token("two"))
                    first.leave()
        require_same(met, [Token("two")] * _TASKS, "what all who waited met")

    async def test_a_failure_gives_the_lease_back(self) -> None:
        """What is raised inside a lease leaves it as it was raised."""
        async with self._store() as store:
            raised = RuntimeError("a failed renewal")
            try:
                async with store.lease("ada"):
                    raise raised
            except RuntimeError as error:
                require(error is raised, "an error leaves the lease as it was raised")
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
        async with self._store() as store, holding(store, "ada") as first:
            for steps in range(_TASKS):
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(lease_and_leave, store, "ada")
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
                    tasks.start_soon(lease_and_leave, store, "ada")
                    for _ in range(steps):
                        await anyio.lowlevel.checkpoint()
                    tasks.cancel_scope.cancel()
                await self._free(store, "ada")

    async def test_a_login_takes_the_lease_away(self) -> None:
        """What was renewed meanwhile is older than the login, and is refused."""
        async with self._store() as store:
            await store.save("ada", Token("one"))
            async with holding(store, "ada") as first:
                await store.save("ada", Token("login"))
                await require_refusal(first.lease)
                await self._free(store, "ada")
            require_same(await store.load("ada"), Token("login"), "the token after the login")

    async def test_a_logout_takes_the_lease_away(self) -> None:
        """A token that was deleted while it was renewed, or before there was one, stays away."""
        async with self._store() as store:
            await store.save("ada", Token("one"))
            for _ in range(2):
                async with holding(store, "ada") as first:
                    await store.delete("ada")
                    await require_refusal(first.lease)
                    await self._free(store, "ada")
                require_same(await store.load("ada"), None, "load after the logout")

    async def test_a_token_is_deleted_under_a_lease(self) -> None:
        """As by a logout: nothing can be saved under the lease then, and others can have it."""
        async with self._store() as store:
            for token in (Token("one"), None):
                if token is not None:
                    await store.save("ada", token)
                async with holding(store, "ada") as first:
                    require_same(await first.lease.load(), token, "load in a lease")
                    await require_deletion(first.lease)
                    require(not first.lease.held, "a lease ends as its token is deleted")
                    require_same(await store.load("ada"), None, "load after the deletion")
                    await require_refusal(first.lease)
                    await self._free(store, "ada")
            async with store.lease("ada") as lease:
                await lease.save(Token("two"))
                await require_deletion(lease)
            require_same(await store.load("ada"), None, "load after what was saved is deleted")

    async def test_what_nobody_has_looked_at_is_not_deleted_under_a_lease(self) -> None:
        """A login between the look and the deletion stays, and the holder is told."""
        async with self._store() as store:
            for token in (Token("one"), None):
                if token is not None:
                    await store.save("ada", token)
                async with holding(store, "ada") as first:
                    await first.lease.load()
                    await store.save("ada", Token("login"))
                    await require_refusal(first.lease)
                require_same(await store.load("ada"), Token("login"), "the token after the login")
                await store.delete("ada")

    async def test_a_late_holder_does_not_disturb_the_next(self) -> None:
        """Leaving a lease that was lost does not give the next holder's away."""
        async with self._store() as store, holding(store, "ada") as first:
            await store.delete("ada")
            async with holding(store, "ada") as second:
                first.leave()
                await first.gone.wait()
                require(
                    not await is_lent(store, "ada", self.moment), "the next holder's lease is held"
                )
                await second.lease.save(Token("two"))
            require_same(await store.load("ada"), Token("two"), "the next holder's token")

    async def test_a_lease_runs_out(self) -> None:
        """A process that stopped for longer than its lease lives blocks nobody, and is refused."""
        async with self._store(self.lease_seconds) as store:
            await store.save("ada", Token("one"))
            async with holding(store, "ada") as first:
                await self.stand_still(self.lease_seconds * 1.5)
                async with holding(store, "ada") as second:
                    await require_refusal(first.lease)
                    await second.lease.save(Token("two"))
                    await require_refusal(first.lease)
                await require_refusal(first.lease)
            require_same(await store.load("ada"), Token("two"), "the token of the one in time")

    async def test_a_holder_knows_when_the_lease_has_run_out(self) -> None:
        """Whoever wakes up late looks at `held` before the server is asked."""
        async with self._late(Token("one")) as (_, lease):
            require(not lease.held, "a lease that ran out is no longer held")

    async def test_a_late_save_is_taken_where_nobody_else_came(self) -> None:
        """What the server gave is not lost merely because time passed; a second save as well."""
        async with self._late(Token("one")) as (store, lease):
            for name in ("two", "three"):
                await require_save(lease, Token(name))
                require_same(await store.load("ada"), Token(name), "the token of a late save")
        async with self._late(None, "grace") as (store, lease):
            for name in ("one", "two"):
                await require_save(lease, Token(name))
                require_same(await store.load("grace"), Token(name), "the first token, saved late")

    async def test_a_late_deletion_is_done_where_nobody_else_came(self) -> None:
        """What is there is what was looked at."""
        for key, token in (("ada", Token("one")), ("grace", None)):
            async with self._late(token, key) as (store, lease):
                await require_deletion(lease)
                require_same(await store.load(key), None, "load after the deletion")

    async def test_a_late_deletion_is_refused_where_somebody_else_came(self) -> None:
        """Whoever had the lease may have renewed the token."""
        async with self._late(Token("one")) as (store, lease):
            async with store.lease("ada") as second:
                await second.save(Token("two"))
            await require_refusal(lease)
            require_same(await store.load("ada"), Token("two"), "the token of the one in time")

    async def test_a_late_save_is_refused_where_somebody_else_had_the_lease(self) -> None:
        """Also when they have left again, and have saved nothing."""
        async with self._late(Token("one")) as (store, lease):
            await lease_and_leave(store, "ada")
            await require_refusal(lease)
            require_same(await store.load("ada"), Token("one"), "the token after a refused save")
        async with self._late(None, "grace") as (store, lease):
            await lease_and_leave(store, "grace")
            await require_refusal(lease)
            require_same(await store.load("grace"), None, "load after a refused first save")

    async def test_a_late_save_is_refused_after_a_login(self) -> None:
        """The login is newer, also where there was no token before."""
        for key, token in (("ada", Token("one")), ("grace", None)):
            async with self._late(token, key) as (store, lease):
                await store.save(key, Token("login"))
                await require_refusal(lease)
                require_same(await store.load(key), Token("login"), "the token after the login")

    async def test_a_late_save_is_refused_after_a_logout(self) -> None:
        """Nothing comes back, also where there was no token before."""
        for key, token in (("ada", Token("one")), ("grace", None)):
            async with self._late(token, key) as (store, lease):
                await store.delete(key)
                await require_refusal(lease)
                require_same(await store.load(key), None, "load after the logout")

    async def test_a_lease_ends_when_it_is_left(self) -> None:
        """Whoever has given it back has no right any more."""
        async with self._store() as store:
            await store.save("ada", Token("one"))
            async with store.lease("ada") as lease:
                pass
            require(not lease.held, "a lease that was left is no longer held")
            await require_refusal(lease)
            require_same(await store.load("ada"), Token("one"), "the token after a refused save")

    @asynccontextmanager
    async def _late(
        self, token: Token | None, key: str = "ada"
    ) -> AsyncGenerator[tuple[TokenStore, Lease]]:
        """Give a lease that ran out while its holder stood still."""
        async with self._store(self.lease_seconds) as store:
            if token is not None:
                await store.save(key, token)
            async with holding(store, key) as holder:
                await self.stand_still(self.lease_seconds * 1.5)
                yield store, holder.lease

    @asynccontextmanager
    async def _store(self, lease_seconds: float = _LONG) -> AsyncGenerator[TokenStore]:
        with anyio.fail_after(_DEADLINE):
            async with self.open(lease_seconds=lease_seconds) as store:
                yield store

    async def _free(self, store: TokenStore, key: str) -> None:
        """Require that a lease can be had, long before one would run out."""
        with anyio.fail_after(_LONG / 10):
            async with store.lease(key) as lease:
                require(lease.held, "a lease that is free is held")
