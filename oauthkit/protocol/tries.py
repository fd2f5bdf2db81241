"""How often a token request is sent, and how long the pauses between are.

`growing_pause` is how all pauses here grow: between the tries of a request, after renewals that
failed, between offers of a token to a store that is away, between looks at a lease.
"""

import math
from http import HTTPStatus
from typing import Final

import attrs

from oauthkit.errors import OAuthKitError, Recovery, ResponseError, TransportError
from oauthkit.protocol.grants import Repeat

_FIRST_PAUSE: Final = 0.1
_MOST_DOUBLINGS: Final = 16  # then it is long enough, and no number grows beyond all bounds
_MOST_TRIES: Final = 3
_MOST_SENT: Final = {Repeat.NEVER: 1, Repeat.ONCE: 2, Repeat.ALWAYS: _MOST_TRIES}
_BUSY: Final = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})


def growing_pause(failures: int, *, first: float, longest: float = math.inf) -> float:
    """Return the seconds to wait after so many failures: none, the first, twice as many, and so on.

    Args:
        failures: How many in a row.
        first: Seconds after the first one.
        longest: The most seconds.
    """
    if failures < 1:
        return 0.0
    return min(first * 2.0 ** min(failures - 1, _MOST_DOUBLINGS), longest)


@attrs.frozen
class Wait:
    """A pause before the next try.

    Attributes:
        asked: Seconds that the server asked for, which are kept to the last.
        backoff: Seconds beyond, of which from a half to all are waited, so that many spread.
    """

    asked: float
    backoff: float

    @property
    def longest(self) -> float:
        """The most that may be waited, in seconds."""
        return self.asked + self.backoff

    def seconds(self, chance: float) -> float:
        """Return how long to wait.

        Args:
            chance: A number from 0 to 1, drawn anew.
        """
        return self.asked + self.backoff * (1 + chance) / 2


@attrs.define
class Tries:
    """Count the tries of one right, and say whether there is another.

    A request that was never sent is tried again, by any right. One that was sent and not answered
    is tried again as the grant allows (`Repeat`). `Retry-After` of a 429 or 503 is honoured, unless
    the right was spent by the first request.
    """

    repeat: Repeat
    made: int = 0
    unanswered: int = 0

    def wait_after(self, error: OAuthKitError) -> Wait | None:
        """Return the pause before the next try; None where there is none.

        Args:
            error: What became of the last one.
        """
        self.made += 1
        asked, over = 0.0, self.made >= _MOST_TRIES
        if isinstance(error, ResponseError):
            asked = error.retry_after or 0.0
            over = over or error.status_code not in _BUSY or error.retry_after is None
            over = over or self.repeat is Repeat.NEVER
        elif isinstance(error, TransportError) and error.sent:
            self.unanswered += 1
            over = over or self.unanswered >= _MOST_SENT[self.repeat]
        elif not isinstance(error, TransportError) or error.recovery is not Recovery.RETRY_LATER:
            over = True
        return None if over else Wait(asked, growing_pause(self.made, first=_FIRST_PAUSE))
