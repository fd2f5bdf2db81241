"""What there is once in each event loop."""

from collections.abc import Callable
from typing import Any, Generic, TypeVar
from weakref import WeakKeyDictionary

from anyio.lowlevel import RunVar

_T = TypeVar("_T")


class PerLoop(Generic[_T]):
    """Something of which an owner has one in each event loop; it goes with the owner or the loop.

    There is one `PerLoop` for all owners, as a module's constant: an event loop never forgets a
    `RunVar` that it has seen.
    """

    def __init__(self, name: str) -> None:
        """Keep nothing yet."""
        self._kept = RunVar[WeakKeyDictionary[Any, _T]](name)

    def of(self, owner: object, make: Callable[[], _T]) -> _T:
        """Return what is the owner's in the event loop that runs; it must not refer to the owner.

        Args:
            owner: Whose it is.
            make: Makes it, where there is none yet.
        """
        kept = self._kept.get(None)
        if kept is None:
            kept = WeakKeyDictionary[Any, _T]()
            self._kept.set(kept)
        found = kept.get(owner)
        if found is None:
            found = kept[owner] = make()
        return found
