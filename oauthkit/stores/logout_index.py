"""Which tokens belong to a logout that a server announces (Back-Channel Logout 1.0 §2.7)."""

import threading
import time
from collections import defaultdict
from collections.abc import Callable
from hashlib import sha256
from typing import Protocol

import attrs

from oauthkit.errors import ConfigurationError
from oauthkit.kinds import checked
from oauthkit.protocol.secret import check_given
from oauthkit.stores.ending import EndingMap, checked_end
from oauthkit.stores.keys import check_key


class LogoutIndex(Protocol):
    """Find the keys of tokens by who has logged in, and in which session at the server.

    A subject and a session are known by their issuer alone: what two servers call alike is not the
    same.
    """

    async def add(
        self,
        key: str,
        /,
        *,
        issuer: str,
        subject: str,
        session_id: str | None = None,
        expires_at: float,
    ) -> None:
        """Note whose the token of a key is, in place of what was noted for the key before.

        Args:
            key: Of the token, as the token store has it.
            issuer: Who says so: `Identity.issuer`.
            subject: Who has logged in: `Identity.subject`.
            session_id: The session at the server: the claim `sid` of the ID Token, where it has
                one.
            expires_at: Until when that is remembered, in seconds since the epoch: until the
                visitor's own session ends.

        Raises:
            StoreError: It could not be noted.
        """
        ...

    async def find(
        self, *, issuer: str, subject: str | None = None, session_id: str | None = None
    ) -> frozenset[str]:
        """Return the keys of whom a logout is about: one session, or all of a subject.

        Args:
            issuer: Who says so.
            subject: Who has logged out; alone, all sessions of them are over.
            session_id: The session that is over; with a subject, it must be of that one.

        Raises:
            StoreError: That could not be found out.
        """
        ...

    async def remove(self, key: str, /) -> None:
        """Forget a key, as after a logout; one that is not known is none to forget.

        Raises:
            StoreError: It could not be forgotten.
        """
        ...


@attrs.frozen
class Visit:
    """Who has logged in, and in which session at the server.

    Attributes:
        issuer: Who says so.
        subject: Who.
        session_id: The session, where it has a name.
    """

    issuer: str
    subject: str
    session_id: str | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """What it is found by."""
        return names_of(self.issuer, self.subject, self.session_id)


def checked_visit(key: object, issuer: str, subject: str, session_id: str | None) -> Visit:
    """Return a visit to be noted.

    Raises:
        ConfigurationError: The key is none, or an identifier is empty.
    """
    check_key(key)
    check_given(issuer=issuer, subject=subject)
    if session_id is not None:
        check_given(session_id=session_id)
    return Visit(issuer, subject, session_id)


def wanted_names(issuer: str, subject: str | None, session_id: str | None) -> tuple[str, ...]:
    """Return by what names, all of them, a visit is looked for.

    Raises:
        ConfigurationError: There is none: that would be everybody.
    """
    if subject is None and session_id is None:
        message = "a logout is about a subject or a session (Back-Channel Logout 1.0 §2.4)"
        raise ConfigurationError(message)
    given = {"issuer": issuer, "subject": subject, "session_id": session_id}
    check_given(
        **{name: text for name, text in given.items() if text is not None or name == "issuer"}
    )
    return names_of(issuer, subject, session_id)


def names_of(issuer: str, subject: str | None, session_id: str | None) -> tuple[str, ...]:
    """Return the digests of what is given; a subject and a session are never mistaken."""
    given = (("sid", session_id), ("sub", subject))
    texts = [f"{kind}\0{issuer}\0{text}" for kind, text in given if text is not None]
    return tuple(sha256(text.encode(errors="surrogatepass")).hexdigest() for text in texts)


class MemoryLogoutIndex:
    """Remember in this process whose the tokens are.

    Example:
        >>> import anyio
        >>> async def main():
        ...     index, who = MemoryLogoutIndex(), {"issuer": "https://a.example", "subject": "ada"}
        ...     await index.add("visitor:1", **who, expires_at=time.time() + 3600)
        ...     print(await index.find(**who))
        >>> anyio.run(main)
        frozenset({'visitor:1'})

    Args:
        capacity: How many keys are remembered; of more, those that end first are forgotten.
        clock: Seconds since the epoch.
    """

    @checked
    def __init__(self, *, capacity: int = 100_000, clock: Callable[[], float] = time.time) -> None:
        """Start with nobody."""
        self._visits = EndingMap[tuple[str, Visit]](capacity)
        self._keys: defaultdict[str, set[str]] = defaultdict(set)
        self._clock = clock
        self._mutex = threading.Lock()

    async def add(
        self,
        key: str,
        /,
        *,
        issuer: str,
        subject: str,
        session_id: str | None = None,
        expires_at: float,
    ) -> None:
        """Note whose the token of a key is."""
        visit, now = checked_visit(key, issuer, subject, session_id), self._clock()
        ends_at = checked_end(expires_at, now=now)
        with self._mutex:
            self._forget(self._visits.pop(key))
            self._visits.put(key, (key, visit), ends_at=ends_at)
            for name in visit.names:
                self._keys[name].add(key)
            for dropped in self._visits.dropped(now=now):
                self._forget(dropped)

    async def find(
        self, *, issuer: str, subject: str | None = None, session_id: str | None = None
    ) -> frozenset[str]:
        """Return the keys of whom a logout is about."""
        names, now = wanted_names(issuer, subject, session_id), self._clock()
        with self._mutex:
            found = frozenset[str].intersection(
                *(frozenset(self._keys.get(name, ())) for name in names)
            )
            return frozenset(key for key in found if self._visits.get(key, now=now))

    async def remove(self, key: str, /) -> None:
        """Forget a key."""
        check_key(key)
        with self._mutex:
            self._forget(self._visits.pop(key))

    def _forget(self, noted: tuple[str, Visit] | None) -> None:
        if noted is None:
            return
        key, visit = noted
        for name in visit.names:
            self._keys[name].discard(key)
            if not self._keys[name]:
                del self._keys[name]
