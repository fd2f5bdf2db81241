"""What the processes of a fleet are told as they start."""

import json
import time
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final, TypeVar

import attrs
import cattrs

from oauthkit import Token

T = TypeVar("T")

LIFE: Final = 1.0
"""Seconds that an access token lives, where a case does not say otherwise."""


@attrs.frozen(kw_only=True)
class Place:
    """Where a fleet's store is: in an SQLite file, or in a Redis server of this machine."""

    path: str | None = None
    port: int | None = None


@attrs.frozen
class SteadyClock:
    """A wall clock that nobody sets while a fleet runs, and that all its processes have in common.

    The machine's own may be set at any moment. Then a token that lives for a second would live for
    longer or be over at once, and no case here would be what it says.

    Attributes:
        began: Seconds since the epoch at which the machine's monotonic clock was 0.
    """

    began: float = attrs.field(factory=lambda: time.time() - time.monotonic())

    def ahead(self, seconds: float) -> "SteadyClock":
        """Return a clock that is ahead of this one."""
        return SteadyClock(self.began + seconds)

    def time(self) -> float:
        """Return seconds since the epoch."""
        return self.began + time.monotonic()

    def monotonic(self) -> float:
        """Return seconds on the machine's monotonic clock, which its processes share."""
        return time.monotonic()


@attrs.frozen(kw_only=True)
class Times:
    """How long anything may take, in seconds.

    A lease is extended after each third of it, so at any moment two thirds of it are left, and one
    third where a disturbance of a third held the extension up. The disturbances that must cost
    nothing are shorter than that, those that cost the lease are longer than all of it.
    """

    timeout: float = 1.5
    save_timeout: float = 1.5
    lease_seconds: float = 3.0


@attrs.frozen(kw_only=True)
class WorkerSettings:
    """What a worker is and does.

    Attributes:
        name: How the server and the journal call it.
        url: Of the API.
        token_url: Of the token endpoint.
        directory: Of the journal and the orders.
        backend: The event loop.
        leaves_open: Whether it closes nothing when it is asked to end, not even its session.
        keys: How many keys it uses, each with tasks of its own.
        tasks: How many tasks it has for each key.
        pause: Seconds between two calls of a task, on average.
        clock: Its clock.
    """

    name: str
    url: str
    token_url: str
    place: Place
    directory: str
    times: Times
    backend: str
    leaves_open: bool
    keys: int
    tasks: int
    pause: float
    clock: SteadyClock


@attrs.frozen(kw_only=True)
class ServerSettings:
    """What the authorization server is like.

    Attributes:
        grace: Seconds in which a spent refresh token is answered again.
        expires_in: Seconds that an access token lives.
        directory: Of the orders, and of the file with its URLs.
        clock: Its clock.
    """

    grace: float
    expires_in: float
    directory: str
    clock: SteadyClock


def key_of(number: int) -> str:
    """Return the name of a key."""
    return f"key{number}"


def journal_in(directory: str | Path) -> Path:
    """Return the file into which all workers write."""
    return Path(directory) / "journal"


def urls_in(directory: str | Path) -> Path:
    """Return the file into which the server writes where it is."""
    return Path(directory) / "urls"


def to_line(settings: Any) -> str:
    """Return settings as one line of text."""
    return json.dumps(attrs.asdict(settings))


def from_line(kind: type[T], line: str) -> T:
    """Return the settings that a line has."""
    return cattrs.structure(json.loads(line), kind)


def named(token: Token | None) -> str:
    """Return a name for a token that tells nothing of it."""
    text = "" if token is None else token.access_token
    return blake2b(text.encode(), digest_size=8).hexdigest()
