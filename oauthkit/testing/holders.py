"""Holders of leases, and what is required of them, for the contract that a store must keep."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial

import anyio
import anyio.abc
import attrs

from oauthkit.errors import LeaseLost
from oauthkit.protocol.token import Token
from oauthkit.stores.base import Lease, TokenStore


@attrs.frozen(eq=False)
class Holder:
    """Somebody who holds a lease, in a task of their own."""

    lease: Lease
    leaving: anyio.Event
    gone: anyio.Event

    def leave(self) -> None:
        """Give the lease back, soon."""
        self.leaving.set()


@asynccontextmanager
async def holding(store: TokenStore, key: str) -> AsyncGenerator[Holder]:
    """Let somebody hold the lease of a key while the block runs, or until told to leave."""
    async with anyio.create_task_group() as tasks:
        holder: Holder = await tasks.start(_hold, store, key)
        yield holder
        holder.leave()


async def _hold(store: TokenStore, key: str, *, task_status: anyio.abc.TaskStatus[Holder]) -> None:
    gone = anyio.Event()
    async with store.lease(key) as lease:
        require(lease.held, "a lease that is free is held")
        holder = Holder(lease, anyio.Event(), gone)
        task_status.started(holder)
        await holder.leaving.wait()
    gone.set()


async def lease_and_leave(store: TokenStore, key: str) -> None:
    """Have the lease of a key, and give it back at once."""
    async with store.lease(key):
        pass


async def is_lent(store: TokenStore, key: str, moment: float) -> bool:
    """Tell whether the lease of a key can be had within a moment, in seconds."""
    with anyio.move_on_after(moment) as scope:
        await lease_and_leave(store, key)
    return not scope.cancelled_caught


async def require_refusal(lease: Lease) -> None:
    """Require that nothing can be saved or deleted under a lease."""
    for what, act in (("save", partial(lease.save, Token("too late"))), ("delete", lease.delete)):
        try:
            await act()
        except LeaseLost:
            continue
        require(met=False, what=f"to {what} without the lease is refused by LeaseLost")


async def require_save(lease: Lease, token: Token) -> None:
    """Require that a token is stored under a lease."""
    try:
        await lease.save(token)
    except LeaseLost:
        require(met=False, what="a save is taken where nobody else came, however late it is")


async def require_deletion(lease: Lease) -> None:
    """Require that what is stored under a lease is deleted."""
    try:
        await lease.delete()
    except LeaseLost:
        require(met=False, what="to delete is allowed where nobody else came, however late it is")


def require_same(found: object, wanted: object, what: str) -> None:
    """Require that a value is the one that is wanted."""
    if found != wanted:
        message = f"{what}: wanted {wanted!r}, found {found!r}"
        raise AssertionError(message)


def require(met: bool, what: str) -> None:  # noqa: FBT001 - reads as a sentence
    """Require that something is so."""
    if not met:
        message = f"not so: {what}"
        raise AssertionError(message)
