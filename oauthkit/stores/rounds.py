"""Those of one event loop who wait for the same lease: one of them looks, for all of them."""

from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

import anyio
import attrs

from oauthkit.errors import StoreError

_T = TypeVar("_T")


@attrs.define(eq=False)
class Round(Generic[_T]):
    """One who looks, and what the others learn of it."""

    over: anyio.Event = attrs.field(factory=anyio.Event)
    found: _T | None = None
    failure: StoreError | None = None
    looks: int = 0

    async def look(self, ask: Callable[[], Awaitable[_T]]) -> _T:
        """Ask the store; whoever joins from now on does not rely on the answer."""
        self.looks += 1
        return await ask()

    async def follow(self) -> _T | None:
        """Return what was found; None where one must look for oneself.

        So it is where the one who looked was cancelled, and where the store was asked before this
        one joined: what was seen since may be newer.

        Raises:
            StoreError: The store cannot be asked. All are told at once: else each would try, one
                after the other.
        """
        before = self.looks
        await self.over.wait()
        if self.failure is not None:
            raise StoreError(str(self.failure)) from self.failure
        return self.found if self.looks > before else None


@attrs.define(eq=False)
class Rounds(Generic[_T]):
    """The rounds of one event loop, by the name of what is waited for."""

    _open: dict[str, Round[_T]] = attrs.field(factory=dict[str, Round[_T]])

    async def wait(
        self,
        name: str,
        search: Callable[[Round[_T], bool], Awaitable[_T]],
        answer: Callable[[_T], _T | None],
    ) -> _T:
        """Return what ends the wait.

        Args:
            name: Of what is waited for.
            search: Waits for it where nobody else does; asks by `Round.look`. It is told whether
                time has passed, so that it must ask before anything else.
            answer: What it means to this one that another found this; None where it must go on.

        Raises:
            StoreError: The store cannot be asked.
        """
        late = False
        while (other := self._open.get(name)) is not None:
            found = await other.follow()
            meant = None if found is None else answer(found)
            if meant is not None:
                return meant
            late = True
        own = self._open[name] = Round[_T]()
        try:
            own.found = await search(own, late)
        except StoreError as error:
            own.failure = error
            raise
        finally:
            del self._open[name]
            own.over.set()
        return own.found
