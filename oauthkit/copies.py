"""The tokens at hand in this process: one copy per store and key, shared by all sessions.

It is what makes a fresh token cost no lock and no I/O, and what sessions that come and go with
every web request have in common.
"""

import math
import random
import threading
from collections import OrderedDict, deque
from itertools import islice
from typing import Final, Self
from weakref import WeakKeyDictionary

import anyio
import attrs

from oauthkit.completion import current_loop
from oauthkit.errors import ConfigurationError, OAuthKitError, ResponseError
from oauthkit.policy import RenewalPolicy
from oauthkit.protocol.bearer import authorization_header
from oauthkit.protocol.token import Token
from oauthkit.stores.base import TokenStore

_SHORTEST_LIFE: Final = 1.0  # of a token that a server calls expired as it hands it out
_REMEMBERED_RIGHTS: Final = 16


@attrs.define
class Copy:
    """A token at hand; all moments are seconds on the monotonic clock.

    Attributes:
        authorization: The header for it; empty where it is not for APIs.
        good_until: Until then it is handed out with no further thought.
        checked_until: Until then the store need not be looked at.
        stale_at: From then on it is renewed.
        expires_at: From then on it is of no use.
        fetched: Whether this process got it from the server itself.
        rejections: How many renewals in a row were asked for by a 401.
    """

    token: Token
    authorization: str
    good_until: float
    checked_until: float
    stale_at: float
    expires_at: float
    taken_at: float
    fetched: bool
    rejections: int = 0

    @classmethod
    def of(
        cls,
        token: Token,
        policy: RenewalPolicy,
        *,
        now: float,
        monotonic: float,
        recheck: float,
        fetched: bool,
        rejections: int = 0,
    ) -> Self:
        """Return a copy of a token as it is now."""
        try:
            authorization = authorization_header(token)
        except ResponseError:
            authorization = ""
        life = math.inf if token.expires_at is None else token.expires_at - now
        if fetched and life <= 0:
            life = _SHORTEST_LIFE
        leeway = min(token.leeway(policy.leeway), life / 2)
        spread = random.uniform(0, min(policy.jitter, 1.0))  # noqa: S311 - not a secret
        stale_at = monotonic + life - leeway * (1 - spread)
        checked_until = monotonic + recheck
        return cls(
            token=token,
            authorization=authorization,
            good_until=min(stale_at, checked_until),
            checked_until=checked_until,
            stale_at=stale_at,
            expires_at=monotonic + life,
            taken_at=monotonic,
            fetched=fetched,
            rejections=rejections,
        )


@attrs.define(eq=False)
class Flight:
    """One renewal on its way, for all that wait for it.

    Attributes:
        unwanted: An access token that is replaced however fresh it is.
        refusal: Why the server is not asked now; the store may have another's token all the same.
        asked: Whether the authorization server was asked, or another's token adopted.
    """

    loop: object = attrs.field(factory=current_loop)
    done: anyio.Event = attrs.field(factory=anyio.Event)
    copy: Copy | None = None
    error: Exception | None = None
    unwanted: str | None = attrs.field(default=None, repr=False)
    refusal: OAuthKitError | None = None
    asked: bool = False


@attrs.define(eq=False)
class TokenState:
    """What this process knows about one key.

    Attributes:
        copy: The token at hand.
        flight: The renewal on its way.
        failure: What the last try failed with, until one succeeds.
        failures: How many failed in a row.
        resume_at: Before then nothing is tried, on the monotonic clock.
        unsaved: A token that the store has not taken yet, and the one it follows there.
        spent: Digests of rights that were used up.
        rejected: The access token that an API answered 401 to, until the next one is fetched.
    """

    copy: Copy | None = None
    flight: Flight | None = None
    failure: OAuthKitError | None = None
    failures: int = 0
    resume_at: float = -math.inf
    unsaved: tuple[Token | None, Token] | None = None
    rejected: str | None = attrs.field(default=None, repr=False)
    spent: deque[str] = attrs.field(factory=lambda: deque(maxlen=_REMEMBERED_RIGHTS))

    def is_rejected(self, token: Token) -> bool:
        """Tell whether an API answered 401 to this token."""
        return token.access_token == self.rejected

    def usable(self, *, now: float) -> Copy | None:
        """Return the token at hand if it has not expired, however stale it is.

        Args:
            now: Seconds on the monotonic clock.
        """
        if self.copy is None or self.is_rejected(self.copy.token) or now >= self.copy.expires_at:
            return None
        return self.copy

    def forget(self) -> None:
        """Look at the store before the copy is used again: what stands there is the user's word."""
        if self.copy is not None:
            self.copy.good_until = self.copy.checked_until = -math.inf
        self.unsaved = None
        self.failure, self.failures, self.resume_at = None, 0, -math.inf


class TokenStates:
    """The states of all keys of one store, the least recently used ones forgotten."""

    def __init__(self) -> None:
        """Start with none."""
        self._states: OrderedDict[str, TokenState] = OrderedDict()
        self._mutex = threading.Lock()  # sessions in several threads may share a store

    def of(self, key: str, *, capacity: int) -> TokenState:
        """Return the state of a key, a new one where there is none.

        Args:
            key: The store key.
            capacity: How many states are kept; those with a renewal or an unsaved token stay.
        """
        with self._mutex:
            state = self._states.get(key)
            if state is None:
                state = self._states[key] = TokenState()
                self._forget_oldest(len(self._states) - capacity, but=key)
            else:
                self._states.move_to_end(key)
            return state

    def _forget_oldest(self, surplus: int, *, but: str) -> None:
        idle = (
            key
            for key, state in self._states.items()
            if key != but and state.flight is None and state.unsaved is None
        )
        for key in list(islice(idle, max(surplus, 0))):
            del self._states[key]

    def forget(self, key: str, /) -> None:
        """Look at the store before the copy of this key is used again."""
        state = self._states.get(key)
        if state is not None:
            state.forget()


def states_of(store: TokenStore) -> TokenStates:
    """Return the states that all sessions over a store share in this process.

    Raises:
        ConfigurationError: The store cannot be told apart from others, or referred to weakly.
    """
    try:
        states = _STATES.setdefault(store, TokenStates())
    except TypeError as error:
        message = (
            f"{type(store).__name__} must be hashable and weakly referable, as objects of plain "
            "classes are, so that sessions over it can share one renewal"
        )
        raise ConfigurationError(message) from error
    watch = getattr(store, "watch", None)
    if callable(watch):
        watch(states)
    return states


# What belongs to a store lives as long as the store: a store may be anybody's class, so it cannot
# be kept on the object itself.
_STATES: Final[WeakKeyDictionary[TokenStore, TokenStates]] = WeakKeyDictionary()
