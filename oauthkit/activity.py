"""What a session does and how long that takes, for who measures it; nobody else pays for it.

An event says what happened. An activity has a beginning and an end, in one task, so that what is
done in between can be told to belong to it.
"""

import enum
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator
from contextlib import contextmanager

import attrs

from oauthkit.clock import Clock
from oauthkit.errors import whereabouts
from oauthkit.events import Event, EventHook, told
from oauthkit.labels import LOGGER, log_fields, origin_label
from oauthkit.protocol.messages import Origin


class ActivityKind(enum.StrEnum):
    """What is done."""

    RENEWAL = "renewal"
    """A token is got, from the store or from the server, for all who wait for it."""
    REVOCATION = "revocation"
    """A login is ended."""
    WAIT = "wait"
    """One caller waits for a renewal."""
    REQUEST = "request"
    """The authorization server is asked once."""
    STORE = "store"
    """The store is asked once."""


class ActivityOutcome(enum.StrEnum):
    """How an activity ended."""

    DONE = "done"
    RENEWED = "renewed"
    """The server gave a token."""
    ADOPTED = "adopted"
    """The store had one: another session, process or machine had renewed it."""
    OFFERED = "offered"
    """The store was offered what it had not taken."""
    PAUSED = "paused"
    """Nothing was asked of the server, for the last renewal has failed."""
    FAILED = "failed"
    CANCELLED = "cancelled"
    """Whoever waited has stopped waiting."""


@attrs.define(eq=False, kw_only=True)
class Activity:
    """What a session does once.

    Attributes:
        kind: What is done.
        operation: Of a request `token` or `revocation`, of the store `load`, `save`, `delete`,
            `lease` or `release`; None of the rest.
        grant_type: By what right, as far as that is known.
        origin: Where the authorization server is.
        during: The renewal that it is a part of, or that is waited for.
        outcome: How it ended.
        error: What it failed with.
        seconds: How long it took, by the session's clock.
    """

    kind: ActivityKind
    operation: str | None = None
    grant_type: str | None = None
    origin: Origin | None = None
    during: "Activity | None" = attrs.field(default=None, repr=False)
    outcome: ActivityOutcome = ActivityOutcome.DONE
    error: Exception | None = attrs.field(
        default=None, repr=lambda error: "None" if error is None else told(error)
    )
    seconds: float = 0.0


class Listener(ABC):
    """What `on_event=` takes beside a function, to be told of activities as well as of events.

    It is called in the event loop and must be quick; what it raises is logged. An activity begins
    and ends in one task, with the context variables of that task; a renewal has a task of its own,
    with a copy of those of the call that began it.

    Example:
        >>> class Slow(Listener):
        ...     def __call__(self, event):
        ...         pass
        ...     def began(self, activity):
        ...         pass
        ...     def ended(self, activity):
        ...         if activity.seconds > 1.0:
        ...             print(f"{activity.kind}: {activity.outcome} after {activity.seconds:.1f} s")
    """

    @abstractmethod
    def __call__(self, event: Event, /) -> None:
        """Be told of an event."""

    @abstractmethod
    def began(self, activity: Activity, /) -> None:
        """Be told that an activity begins."""

    @abstractmethod
    def ended(self, activity: Activity, /) -> None:
        """Be told that it has ended, and how."""


@contextmanager
def measured(
    activity: Activity, *, hook: EventHook | None, clock: Clock, server: str
) -> Generator[Activity]:
    """Tell a listener of what is done in a block; do nothing for any other hook.

    Args:
        activity: What the block does, which may write down how it ended.
        hook: What `on_event=` was given.
        clock: Tells how long it takes.
        server: The authorization server, by its URL.
    """
    if not isinstance(hook, Listener):
        yield activity
        return
    activity.origin, began = origin_label(server), clock.monotonic()
    _tell(hook.began, activity)
    try:
        yield activity
    except Exception as error:
        activity.outcome, activity.error = ActivityOutcome.FAILED, error
        raise
    except BaseException:
        activity.outcome = ActivityOutcome.CANCELLED
        raise
    finally:
        activity.seconds = clock.monotonic() - began
        _tell(hook.ended, activity)


def _tell(listen: Callable[[Activity], None], activity: Activity) -> None:
    try:
        listen(activity)
    except Exception as error:  # noqa: BLE001 - a method of the user's
        LOGGER.error(
            "a listener failed for a %s with %s",
            activity.kind,
            whereabouts(error),
            extra=log_fields("ListenerFailed", error=error),
        )
