"""What a renewal may want done, and what may come of it: as values.

=============== =============================================== ==================================
effect          means                                           outcomes
=============== =============================================== ==================================
`Look`          what does the store have?                       `Stored`, `Failed`
`TakeLease`     wait for the right to renew                     `Leased`, `Failed`
`LookAgain`     what does the store have, under the lease?      `Stored`, `Failed`
`Ask`           one token request; first, and as late as can    `Answered`, `Refused`, `Lost`,
                be, look at the lease and the deadline          `NotSent`, `Broken`, `NotHeld`,
                                                                `TooLate`
`Save`          store a token under the lease                   `Done`, `Overtaken`, `Failed`
`GiveBack`      give the lease back                             `Done`
`Pause`         wait                                            `Done`
`LetGo`         let the callers go with an error; the script    `Done`
                goes on without them
`Tell`          tell what happened                              `Done`
`Delete`        forget the stored token, as at a logout         `Done`, `Overtaken`, `Failed`
`Dropped`       let everybody go on: there is no token here     `Done`
                any more
`Revoke`        have the server revoke a token                  `Done`, `Unrevoked`
=============== =============================================== ==================================
"""

from collections.abc import Generator
from inspect import get_annotations
from typing import ClassVar, TypeVar, dataclass_transform

from oauthkit.errors import OAuthKitError, TransportError
from oauthkit.events import Event
from oauthkit.protocol.grants import GrantStrategy
from oauthkit.protocol.token import Token
from oauthkit.protocol.tries import Wait
from oauthkit.renewal.state import HeldToken, Moment


@dataclass_transform(frozen_default=True)
class _Value:
    """Value that is made, compared and printed by its members, and never changed.

    Effects and outcomes are many, and this is written once for all of them: what attrs would
    compile for each, at every import, took longer than anything else there.
    """

    __match_args__: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls) -> None:
        names = tuple(get_annotations(cls))
        type.__setattr__(cls, "__match_args__", names)  # by its name it is not to be assigned

    def __init__(self, *values: object, **named: object) -> None:
        names = type(self).__match_args__
        given = dict(zip(names, values, strict=False)) | named
        missing = [name for name in names if name not in given and not hasattr(type(self), name)]
        if missing or len(given) < len(values) + len(named) or not given.keys() <= {*names}:
            message = f"{type(self).__name__} has the members {names}, and was given {[*given]}"
            raise TypeError(message)
        vars(self).update(given)

    def __setattr__(self, name: str, _: object) -> None:
        message = f"{type(self).__name__}.{name} does not change"
        raise AttributeError(message)

    def _members(self) -> tuple[object, ...]:
        return tuple(getattr(self, name) for name in self.__match_args__)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, type(self)) and self._members() == other._members()

    def __hash__(self) -> int:
        return hash((type(self), self._members()))

    def __repr__(self) -> str:
        members = zip(self.__match_args__, self._members(), strict=True)
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in members)})"


# Effects


class Look(_Value):
    """Look at the store."""


class TakeLease(_Value):
    """Wait for the lease of the key."""


class LookAgain(_Value):
    """Look at the store under the lease."""


class Ask(_Value):
    """Send one token request.

    Attributes:
        right: By what right.
        previous: The token whose members go on where the answer is silent.
        until: Not after this moment, on the event loop's clock.
        leased: Whether the lease must be held as the first byte leaves.
    """

    right: GrantStrategy
    previous: Token | None
    until: float
    leased: bool


class Save(_Value):
    """Store a token under the lease."""

    token: Token


class GiveBack(_Value):
    """Give the lease back."""


class Pause(_Value):
    """Wait."""

    wait: Wait


class LetGo(_Value):
    """Let the callers that wait go, with an error."""

    error: OAuthKitError


class Tell(_Value):
    """Tell what happened."""

    event: Event


class Delete(_Value):
    """Forget the stored token, as at a logout; a lease that is open on it is lost by that.

    Attributes:
        leased: Whether it must be the one that was looked at under the lease.
    """

    leased: bool


class Dropped(_Value):
    """Let everybody go on who waits: there is no token any more, at hand or stored."""


class Revoke(_Value):
    """Have the server revoke a token.

    Attributes:
        text: The token itself, as a secret.
        hint: Which kind of token it is (RFC 7009 §2.1).
    """

    text: str
    hint: str


Effect = (
    Look
    | TakeLease
    | LookAgain
    | Ask
    | Save
    | GiveBack
    | Pause
    | LetGo
    | Tell
    | Delete
    | Dropped
    | Revoke
)


# Outcomes


class Done(_Value):
    """It was done, and there is nothing to say."""


class Leased(_Value):
    """The wait for the lease is over.

    Attributes:
        held: Whether it is had. If not, the stored token changed meanwhile, and is all there is.
    """

    held: bool


class Stored(_Value):
    """The store was looked at."""

    token: Token | None


class Failed(_Value):
    """The store failed, or did not answer in time.

    Attributes:
        held: Whether the lease is held all the same.
    """

    error: OAuthKitError
    held: bool = False


class Answered(_Value):
    """The server gave a token."""

    token: Token


class Refused(_Value):
    """The server answered, and gave no token."""

    error: OAuthKitError


class Lost(_Value):
    """The request may have reached the server, and no answer came."""

    error: TransportError


class NotSent(_Value):
    """The request certainly did not reach the server; maybe it could not be built."""

    error: Exception


class Broken(_Value):
    """What is not oauthkit's failed after the request was built, such as a user's `adapt`."""

    error: Exception


class NotHeld(_Value):
    """Nothing was sent: the lease was not held any more, or never had."""


class TooLate(_Value):
    """Nothing was sent: an answer could not have come in time."""


class Overtaken(_Value):
    """Somebody else took the lease, or changed what is stored, since the lease was had."""


class Unrevoked(_Value):
    """The server did not say that the token is revoked."""

    error: Exception


Outcome = (
    Done
    | Leased
    | Stored
    | Failed
    | Answered
    | Refused
    | Lost
    | NotSent
    | Broken
    | NotHeld
    | TooLate
    | Overtaken
    | Unrevoked
)
Told = tuple[Outcome, Moment]


class Ended(_Value):
    """How a script ended.

    Attributes:
        held: The token that serves; None where the store was only looked at, and had none.
        fetched: Whether the server gave it, in this very renewal.
    """

    held: HeldToken | None
    fetched: bool = False


R = TypeVar("R")
Part = Generator[Effect, Told, R]
