"""What all sessions over one store share in this process: for each key one state, one renewal.

It is what makes a fresh token cost no lock and no I/O, and what sessions that come and go with
every web request have in common.
"""

import os
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import suppress
from itertools import count, islice
from typing import Any, Final
from weakref import WeakKeyDictionary, WeakValueDictionary

import attrs

from oauthkit.activity import Activity, ActivityKind
from oauthkit.clock import Clock
from oauthkit.errors import ConfigurationError
from oauthkit.protocol.binding import Binding
from oauthkit.protocol.token import Token
from oauthkit.renewal.event_loop import current_loop
from oauthkit.renewal.latch import Latch
from oauthkit.renewal.script import Wish
from oauthkit.renewal.spent import SpentRights
from oauthkit.renewal.state import HeldToken, TokenState
from oauthkit.stores.base import TokenStore

_FORGOTTEN_AT_ONCE: Final = 2
_LOOKED_AT: Final = 8
_SPARE: Final = 64

_ANYBODYS: Final = Binding()

_Name = tuple[str, int]
"""A store key, and the number of the server and client that it is used for."""


@attrs.define(eq=False)
class Renewal:
    """One renewal on its way, for all who wait for it.

    Attributes:
        wish: What it is for.
        loop: The event loop that it runs in, which alone can wait for it.
        answered: Set once its callers may go on.
        done: Set at its end.
        held: The token that it came to.
        fetched: Whether the server gave that token.
        error: Why its callers have no token, or know that theirs is not saved.
        told: Whether the callers were let go with that error, although there is a token at hand;
            who came later waits for the end, as long as a renewal may take.
        activity: What a listener is told of it.
        began: When it began, on the monotonic clock.
        rested: How far it was carried out, while it has long to wait.
    """

    wish: Wish = attrs.field(factory=Wish)
    loop: object = attrs.field(factory=current_loop)
    answered: Latch = attrs.field(factory=Latch)
    done: Latch = attrs.field(factory=Latch)
    held: HeldToken | None = None
    fetched: bool = False
    error: Exception | None = None
    told: bool = False
    activity: Activity = attrs.field(
        init=False, default=attrs.Factory(lambda self: _activity_of(self.wish), takes_self=True)
    )
    began: float = 0.0
    rested: Any = attrs.field(default=None, repr=False)

    def tell(self, error: Exception) -> None:
        """Let the callers go with an error, although there is a token at hand."""
        self.error, self.told = error, True
        self.answered.set()

    def end(self) -> None:
        """Let everybody go."""
        self.told, self.rested = False, None
        self.answered.set()
        self.done.set()


def _activity_of(wish: Wish) -> Activity:
    return Activity(kind=ActivityKind.REVOCATION if wish.revoke else ActivityKind.RENEWAL)


@attrs.define(eq=False)
class SharedToken:
    """One key's token, as this process knows it.

    Attributes:
        state: What is known.
        renewal: The renewal on its way.
        used: Whether a call came for it since that was asked last.
        watched: The token whose next use will be seen: one of a fresh token leaves no trace else.
        kept: The token whose renewal was begun for a use, and has not led to another one yet.
        offering: The event loop in which the store is offered what it has not taken.
        plan: Of the session that `for_key` made last for this key: it knows the grant, for who
            renews ahead. It refers to no store: what is known of one would keep it for ever.
        family: What the sessions have in common that `for_key` made of one session, and that one.
    """

    state: TokenState = attrs.field(factory=TokenState)
    renewal: Renewal | None = None
    used: bool = True
    watched: HeldToken | None = None
    kept: Token | None = None
    offering: object = None
    plan: Any = None
    family: object = None

    @property
    def renewing(self) -> bool:
        """Whether a renewal is on its way, in whichever event loop: one that has ended has none."""
        renewal = self.renewal
        if renewal is None or renewal.done.is_set():
            return False
        is_closed = getattr(renewal.loop, "is_closed", None)
        return not (is_closed is not None and is_closed())

    @property
    def idle(self) -> bool:
        """Whether nothing would be lost if it were forgotten: the store has what there is."""
        return not self.renewing and self.state.unsaved is None

    def take_need(self) -> bool:
        """Tell whether the token is to be renewed for a call that came since the last renewal.

        A renewal that failed is still needed.
        """
        held = self.state.held
        if not self.take_use() and (held is None or self.kept != held.token):
            return False
        self.kept = None if held is None else held.token
        return True

    def take_use(self) -> bool:
        """Tell whether a call came for it since this was asked last."""
        used, self.used = self.used, False
        return used

    def see_next_use(self) -> None:
        """Have the next call come to the store, where it is seen; once for each token.

        A call with a fresh token leaves no trace, so that it costs nothing.
        """
        if not self.used and self.watched is not self.state.held:
            self.state.look_before_next_use()
            self.watched = self.state.held

    def renewal_here(self) -> Renewal | None:
        """Return the renewal on its way in this event loop; another loop's cannot be waited for."""
        renewal = self.renewal
        if renewal is None or renewal.done.is_set():
            return None
        return renewal if renewal.loop is current_loop() else None


class SharedTokens:
    """The tokens of all keys of one store, the least recently used ones forgotten.

    Sessions of different servers or clients share no token, not under one key either: what is at
    hand is handed out with no further thought.
    """

    def __init__(self) -> None:
        """Start with none."""
        self._tokens: OrderedDict[_Name, SharedToken] = OrderedDict()
        # What was forgotten while a session still uses it is found again: a key has one state.
        self._alive: WeakValueDictionary[_Name, SharedToken] = WeakValueDictionary()
        self._bindings: dict[Binding, int] = {}
        self._last = count()
        self._numbers: dict[str, tuple[int, ...]] = {}  # with which a key is alive
        self._mutex = threading.Lock()  # sessions in several threads may share a store

    def of(
        self, key: str, *, capacity: int, clock: Clock, binding: Binding = _ANYBODYS
    ) -> SharedToken:
        """Return what is known of a key, a new one where nothing is.

        Args:
            key: The store key.
            capacity: How many are kept; those with a renewal or an unsaved token stay.
            clock: Tells what has expired, and is forgotten first: who is gone costs no memory.
            binding: Whose tokens are wanted there.
        """
        with self._mutex:
            number = self._bindings.get(binding)
            if number is None:
                number = self._bindings[binding] = next(self._last)
            name = key, number
            shared = self._tokens.get(name)
            if shared is None:
                self._forget_expired(clock.monotonic())
                shared = self._alive.get(name) or self._unknown(name)
                self._tokens[name] = shared
                self._forget_oldest(len(self._tokens) - capacity, but=name)
            else:
                shared.used = True
                self._tokens.move_to_end(name)
            return shared

    def _unknown(self, name: _Name) -> SharedToken:
        """Return a key's token of which nothing is known but the rights that were spent there.

        Those are spent for every session, whatever it calls the server.
        """
        key, number = name
        others = dict(self._of_key(key))
        spent = next((other.state.spent for other in others.values()), SpentRights())
        shared = self._alive[name] = SharedToken(TokenState(spent=spent))
        self._numbers[key] = (*others, number)
        if max(len(self._numbers), len(self._bindings)) > _SPARE + 2 * len(self._alive):
            self._forget_names()
        return shared

    def _of_key(self, key: str) -> Iterator[tuple[int, SharedToken]]:
        """Yield what is alive of a key, by the numbers of whom it is used for."""
        for number in self._numbers.get(key, ()):
            shared = self._alive.get((key, number))
            if shared is not None:
                yield number, shared

    def _forget_names(self) -> None:
        """Forget how keys, servers and clients are called of which nothing is alive."""
        numbers = dict[str, tuple[int, ...]]()
        for key, number in list(self._alive):
            numbers[key] = (*numbers.get(key, ()), number)
        alive = {number for of_key in numbers.values() for number in of_key}
        self._numbers = numbers
        self._bindings = {
            binding: number for binding, number in self._bindings.items() if number in alive
        }

    def _forget_oldest(self, surplus: int, *, but: _Name) -> None:
        """Make room; of those at work, which stay, no call looks at more than a few."""
        looks = _LOOKED_AT if surplus > 0 else 0
        for name, shared in list(islice(self._tokens.items(), looks)):
            if not shared.idle:
                self._tokens.move_to_end(name)
            elif surplus > 0 and name != but:
                del self._tokens[name]
                surplus -= 1

    def _forget_expired(self, now: float) -> None:
        """Forget some of what is unused for longest, if it is of no use: more than there comes."""
        oldest = list(islice(self._tokens.items(), _FORGOTTEN_AT_ONCE))
        for name, shared in oldest:
            if shared.idle and shared.state.is_over(now):
                del self._tokens[name]
            elif shared.state.held is None:  # a session that is still to be used: not in the way
                self._tokens.move_to_end(name)

    def items(self) -> list[tuple[str, SharedToken]]:
        """Return what is known of which key, the least recently used one first."""
        with self._mutex:
            return [(key, shared) for (key, _), shared in self._tokens.items()]

    def forget(self, key: str, /) -> None:
        """Look at the store before the token of this key is used again."""
        for _, shared in self._of_key(key):
            shared.state.forget()

    def in_use(self, key: str, /) -> bool:
        """Tell whether a call came for a key since this was asked last."""
        used = False
        for number, shared in self._of_key(key):
            if (key, number) in self._tokens:
                used = shared.take_use() or used
                shared.see_next_use()
        return used


def shared_tokens(store: TokenStore) -> SharedTokens:
    """Return what all sessions over a store share in this process.

    Raises:
        ConfigurationError: The store cannot be told apart from others, or referred to weakly.
    """
    try:
        shared = _SHARED.setdefault(store, SharedTokens())
    except TypeError as error:
        message = (
            f"{type(store).__name__} must be hashable and weakly referable, as objects of plain "
            "classes are, so that sessions over it can share one renewal"
        )
        raise ConfigurationError(message) from error
    watch = getattr(store, "watch", None)
    if callable(watch):
        watch(shared)
    return shared


# What belongs to a store lives as long as the store: a store may be anybody's class, so it cannot
# be kept on the object itself.
_SHARED: Final[WeakKeyDictionary[TokenStore, SharedTokens]] = WeakKeyDictionary()
with suppress(AttributeError):  # on Windows nothing forks
    # A child is another process: what its parent renews just now, and the lock that another thread
    # had at that moment, are none of its own.
    os.register_at_fork(after_in_child=_SHARED.clear)
