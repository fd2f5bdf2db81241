"""Who has logged in, as a cookie knows it: who it is, and under which key the token is."""

import json
from collections.abc import Mapping
from secrets import token_urlsafe
from typing import TYPE_CHECKING, Any, Final, Generic

import attrs

from oauthkit.errors import ConfigurationError
from oauthkit.labels import LOGGER, log_fields
from oauthkit.login.cookies import Cookie, CookieKeys
from oauthkit.protocol.id_token import Identity
from oauthkit.protocol.secret import NoPickle, Unprintable
from oauthkit.session import AsyncTokenSession

if TYPE_CHECKING:
    import httpx
    from typing_extensions import TypeVar

    R = TypeVar("R", default=httpx.Response)
else:
    from typing import TypeVar

    R = TypeVar("R")

_LONGEST: Final = 2_000
"""Characters of an identity in a cookie; encrypted they are a third more."""

_LONGEST_MEMBER: Final = 400
"""Characters of each member of it that is one of its claims too, and can be spared."""

_SOON: Final = 60.0
"""Seconds from one login to the next that make the next one a repetition."""

_MOST_REPETITIONS: Final = 2
"""A browser gives up after 20 redirects, of which each login takes three."""

_OF_THE_LOGIN: Final = frozenset({"nonce", "at_hash", "c_hash", "s_hash"})
"""Claims that have done what they were for."""


@attrs.frozen(kw_only=True)
class Visitor(NoPickle, Generic[R]):
    """Be somebody who has logged in.

    Attributes:
        key: Under which key the store has the token; new at each login.
        identity: Who it is; None where the login did not ask (no scope `openid`).
        session: Sends requests with the token of this visitor.
    """

    key: str
    identity: Identity | None
    session: AsyncTokenSession[R] = attrs.field(eq=False)

    @property
    def subject(self) -> str:
        """Who it is: the server's name for them, which stays the same (OpenID Connect Core §2).

        Raises:
            ConfigurationError: The login did not ask.
        """
        if self.identity is None:
            message = (
                "nobody has said who the visitor is, as the login did not ask: "
                "add openid to scope= (OpenID Connect Core §3.1.2.1)"
            )
            raise ConfigurationError(message)
        return self.identity.subject


@attrs.frozen(kw_only=True)
class Visit(NoPickle):
    """Be what the cookie of a visitor holds.

    Attributes:
        key: Under which key the store has the token.
        identity: Who it is.
        began_at: When it began, in seconds since the epoch.
        repetitions: How many logins came before it, each begun soon after the one before.
    """

    key: str
    identity: Identity | None = None
    began_at: float = 0.0
    repetitions: int = 0

    @classmethod
    def new(
        cls, identity: Identity | None, *, former: "Visit | None", login_began: float, now: float
    ) -> "Visit":
        """Begin a visit, under a key that nobody can have known or chosen.

        Args:
            identity: Who it is.
            former: The visit that the browser had before.
            login_began: When the login was asked for; one of another tab, which was asked for
                before the former visit began, repeats nothing.
            now: Seconds since the epoch.
        """
        repetitions = 0
        if former is not None and former.is_new(now) and login_began >= former.began_at:
            repetitions = former.repetitions + 1
        return cls(
            key=f"visitor:{token_urlsafe(32)}",
            identity=identity,
            began_at=now,
            repetitions=repetitions,
        )

    def is_new(self, now: float) -> bool:
        """Tell whether it has just begun."""
        return now - self.began_at < _SOON

    def in_vain(self, now: float) -> bool:
        """Tell whether logins go round in a circle, so that another one would cure nothing."""
        return self.is_new(now) and self.repetitions > _MOST_REPETITIONS


class VisitCookie:
    """Keep the visit in the visitor's browser; the token itself is in no cookie.

    Args:
        keys: What encrypts.
        name: What the cookie is called.
        bound_to: The server and the client that the visits are of.
        life: Seconds that a visit lasts.
    """

    def __init__(self, keys: CookieKeys, *, name: str, bound_to: str, life: float) -> None:
        """Keep nothing yet."""
        self._keys = keys
        self.name = f"__Host-{name}"
        self._bound_to = bound_to
        self._life = life

    def put(self, visit: Visit, *, now: float) -> Cookie:
        """Return the cookie of a visit that begins now."""
        content = {
            "key": visit.key,
            "identity": _short_enough(visit.identity),
            "began_at": visit.began_at,
            "repetitions": visit.repetitions,
        }
        ends = now + self._life
        value = self._keys.seal(self.name, content, bound_to=self._bound_to, expires_at=ends)
        return Cookie(name=self.name, value=value, max_age=int(self._life))

    def find(self, cookies: Mapping[str, str], *, now: float) -> Visit | None:
        """Return the visit that a browser's cookie says; None where it says none."""
        value = cookies.get(self.name)
        content = self._keys.open(self.name, value, bound_to=self._bound_to, now=now)
        if content is None:
            return None
        identity = content["identity"]
        return Visit(
            key=content["key"],
            identity=None if identity is None else _identity(identity),
            began_at=content["began_at"],
            repetitions=content["repetitions"],
        )

    def clear(self) -> Cookie:
        """Return what clears the cookie."""
        return Cookie(name=self.name)


def _short_enough(identity: Identity | None) -> Mapping[str, Any] | None:
    """Return the record of an identity, without the claims that a cookie has no room for."""
    if identity is None:
        return None
    members, dropped = attrs.asdict(identity, recurse=False), set[str]()
    for name, nothing in (("acr", None), ("amr", ())):
        if len(json.dumps(members[name])) > _LONGEST_MEMBER:
            members[name] = nothing
            dropped.add(name)
    sizes = {
        name: len(json.dumps({name: claim}))
        for name, claim in identity.claims.items()
        if name not in _OF_THE_LOGIN
    }
    room = _LONGEST - len(json.dumps({**members, "claims": {}}))
    while sizes and sum(sizes.values()) > room:
        longest = max(sizes, key=lambda name: sizes[name])
        del sizes[longest]
        dropped.add(longest)
    if dropped:
        LOGGER.warning(
            "the cookie of a visitor has no room for the claims %s of the ID Token; "
            "fetch_userinfo has them, where the server puts them there",
            ", ".join(sorted(dropped)),
            extra=log_fields("ClaimsDropped"),
        )
    return Unprintable(members, claims={name: identity.claims[name] for name in sizes})


def _identity(record: Mapping[str, Any]) -> Identity:
    return Identity(**Unprintable(record, amr=tuple(record["amr"])))
