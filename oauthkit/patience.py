"""A token store that is asked with an end to every wait, whatever store it is.

Nobody can cancel a renewal, so nothing in it may wait for ever; and what anybody's store raises
becomes a `StoreError`.
"""

import math
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import anyio
import attrs

from oauthkit.errors import OAuthKitError, StoreError
from oauthkit.policy import RenewalPolicy
from oauthkit.protocol.token import Token
from oauthkit.stores.base import Lease, TokenStore

T = TypeVar("T")


@attrs.frozen(eq=False)
class PatientStore:
    """Ask a store about one key.

    Attributes:
        store: Who is asked.
        key: About which key.
        policy: How long an answer, and a lease, may take.
        failed: Told of a failure that nothing depends on.
    """

    store: TokenStore
    key: str
    policy: RenewalPolicy
    failed: Callable[[StoreError], None]

    async def load(self) -> Token | None:
        """Return the stored token.

        Raises:
            StoreError: The store failed, or did not answer in time.
        """
        return await self.answered(self.store.load(self.key))

    @asynccontextmanager
    async def lease(self) -> AsyncGenerator[Lease]:
        """Hold the store's lease; waiting for it has an end, and giving it back cannot fail.

        Raises:
            StoreError: The store failed, or the lease could not be had in time.
        """
        lease: Lease | None = None
        failure: Exception | None = None
        ended = False
        with anyio.CancelScope() as patience:
            patience.deadline = anyio.current_time() + self.policy.timeout
            manager = self.store.lease(self.key)
            lease = await self._asked(manager.__aenter__())
            patience.deadline = math.inf
            try:
                yield lease
                ended = True
            except Exception as error:  # noqa: BLE001 - raised again, whatever the store does now
                failure, ended = error, True
            finally:
                patience.deadline = anyio.current_time() + self.policy.save_timeout
                try:
                    await self._asked(manager.__aexit__(None, None, None))
                except StoreError as error:  # it runs out by itself
                    self.failed(error)
        if failure is not None:
            raise failure
        if not ended:
            message = (
                f"the lease of {self.key!r} could not be had within {self.policy.timeout:g} s: "
                "somebody else holds it for longer than a renewal may take"
            )
            raise StoreError(message)

    async def answered(self, answer: Awaitable[T]) -> T:
        """Return what the store, or a lease of it, answers in time.

        Raises:
            StoreError: It failed, or did not answer in time.
        """
        seconds = self.policy.save_timeout
        try:
            with anyio.fail_after(seconds):
                return await self._asked(answer)
        except TimeoutError as error:
            message = f"{type(self.store).__name__} did not answer within {seconds:g} s"
            raise StoreError(message) from error

    async def _asked(self, answer: Awaitable[T]) -> T:
        try:
            return await answer
        except OAuthKitError:
            raise
        except Exception as error:
            message = f"{type(self.store).__name__} failed with {type(error).__name__}"
            raise StoreError(message) from error
