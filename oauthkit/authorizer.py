"""What a request may carry, and what an answer to it means: for every HTTP library alike.

Decisions are made here, over views that know no library. What a library's own objects look like is
the business of its adapter: `auth` for httpx and httpx2, `integrations.aiohttp.client` for aiohttp.

Why a request is sent again has a reason, and each reason has a budget of its own within one call.
So no server can keep a call going round, and none of the reasons takes the other's turn.
"""

import enum
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import lru_cache, partial
from typing import Final, cast

import attrs

from oauthkit.errors import ConfigurationError
from oauthkit.events import OtherSchemeRequired
from oauthkit.home import Home
from oauthkit.protocol.challenge import parse_challenges
from oauthkit.protocol.messages import Origin
from oauthkit.protocol.presentation import BEARER
from oauthkit.protocol.rejection import Rejection, Verdict, judge, scheme_names
from oauthkit.protocol.token import Token
from oauthkit.renewal.source import Handed, TokenSource
from oauthkit.renewal.state import HeldToken

_HTTPS_PORT: Final = 443
_MOST_TOLD: Final = 8  # schemes; an API that makes new ones up fills no log
MOST_SENDS: Final = 4
"""Of one call's request, whatever the reasons."""


class Reason(enum.Enum):
    """Why a request is sent again."""

    RENEWAL = "the token was dead"
    EXPIRY = "the token ended on the way, or in a queue on the way"


_BUDGET: Final[Mapping[Reason, int]] = {Reason.RENEWAL: 1, Reason.EXPIRY: 2}


@attrs.frozen(kw_only=True)
class OutgoingRequest:
    """Request of a call, as far as it matters here.

    Attributes:
        repeatable: Whether its body can be sent a second time.
    """

    repeatable: bool


@attrs.frozen(kw_only=True)
class Answer:
    """Answer of an API, as far as it matters here.

    Attributes:
        status: Its HTTP status.
        challenges: Its `WWW-Authenticate` header values.
        authorization: The `Authorization` header of the request that it answers, which is another
            one than was sent first where a redirect was followed; None where it had none.
    """

    status: int
    challenges: Collection[str] = ()
    authorization: str | None = attrs.field(repr=False)


@attrs.define(eq=False)
class Authorizer:
    """Decide for the requests of one session what they carry and when they are sent again.

    Attributes:
        source: Who has the token.
        origins: Who may see it.
        rules: Which answers say that it is dead.
        lent: Whether another's client sends, which takes the token along from http to https.
        told: The schemes that an API asked for instead, as far as that was told: a fact about the
            API, and so one for the sessions of all keys.
        home: Where the session is at home that lent the token; None is the session's own, which
            looks itself whether it is there, and open.
        bare: How a request of the library is sent without the token, for who is refused it.
        named: The origins as the URL classes of HTTP libraries give them: scheme, host, and a port
            that is None where it is the scheme's own.
        statuses: Those of the rules; every other answer is the caller's at once.
        peek: The source's own: the fresh token, or None; nothing is lent by a closed session.
    """

    source: TokenSource
    origins: frozenset[Origin]
    rules: tuple[Rejection, ...]
    lent: bool = False
    told: set[str] = attrs.field(factory=set[str])
    home: Home | None = None
    bare: str = "auth=None"
    named: frozenset[tuple[str, str, int | None]] = attrs.field(init=False)
    statuses: frozenset[int] = attrs.field(init=False)
    peek: Callable[[], HeldToken | None] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        """Put what every call looks at within reach."""
        self.named = named(self.origins, lent=self.lent)
        self.statuses = frozenset(rule.status for rule in self.rules)
        peek, home = self.source.peek, self.home
        self.peek = peek if home is None else partial(_peek_while_open, peek, home)

    async def token(self, *, rejected: Token | None = None) -> Handed:
        """Return a token that can be used now, and whether this very call fetched it.

        Args:
            rejected: The one that an API answered 401 to, where there was one.

        Raises:
            OAuthKitError: There is none; or the session that lent it is closed, or in use in the
                event loop of another thread.
        """
        if self.home is not None:
            self.home.check()
        return await self.source.token(rejected=rejected)

    def present(self, held: HeldToken) -> str:
        """Return what the `Authorization` header of a request is.

        Raises:
            ResponseError: The token cannot be shown to an API.
        """
        return held.presentation or BEARER.authorization(held.token)

    def check(self, url: str) -> None:
        """Refuse an origin that may not have the token.

        Raises:
            ConfigurationError: It may not; nothing was sent.
        """
        if url.startswith("/") and not url.startswith("//"):
            message = (
                "the URL has no host, and there is no base_url= that it could be relative to; give "
                "the session a base_url=, or the call an absolute https:// URL"
            )
            raise ConfigurationError(message)
        origin = Origin.of(url)
        if origin in self.origins:
            if self.lent and _leads_on(origin, self.origins):
                raise _leading_on(origin)
            return
        allowed = ", ".join(sorted(map(str, self.origins))) or "no origin at all"
        way = "AsyncTokenSession(origins=…)"
        if not origin.confidential:
            way += " and, as it is plain http, say AuthorizationServer(…, allow_plain_http=True)"
        message = (
            f"{origin} may not have this session's token: it goes to {allowed}. Name it in {way}; "
            f"or send the request without a token by {self.bare}"
        )
        raise ConfigurationError(message)

    def judge(self, answer: Answer) -> Verdict:
        """Return what an answer says about the token, and tell once where it asks for another."""
        challenges = parse_challenges(answer.challenges)
        verdict = judge(self.rules, answer.status, challenges, scheme=BEARER.scheme)
        schemes = scheme_names(challenges) if verdict is Verdict.OTHER_SCHEME else ""
        if schemes and schemes not in self.told and len(self.told) < _MOST_TOLD:
            self.told.add(schemes)
            performer = self.source.performer
            performer.emit(OtherSchemeRequired(key=performer.plan.key, schemes=schemes))
        return verdict


@attrs.frozen(kw_only=True)
class Lent:
    """What a session lends to an adapter whose requests another's client sends.

    Attributes:
        authorizer: Who decides.
        cookies: Whether cookies may be kept, because the session has no other keys.
    """

    authorizer: Authorizer
    cookies: bool


@attrs.define(eq=False)
class Attempt:
    """State of one call whose answer was no success.

    Attributes:
        authorizer: Who decides.
        held: The token that was sent.
        fetched: Whether it was fetched while this very call waited: then it is as new as can be.
        sends: How often the request was sent.
        spent: How much of each reason's budget is spent.
    """

    authorizer: Authorizer
    held: HeldToken
    fetched: bool
    sends: int = 1
    spent: Counter[Reason] = attrs.field(factory=Counter[Reason])

    def headers(self) -> dict[str, str]:
        """Return what the request carries the next time: the newest token, whoever got it."""
        newest = self.authorizer.peek()
        if newest is not None and newest is not self.held:
            self.held, self.fetched = newest, False
        return {"Authorization": self.authorizer.present(self.held)}

    def reason(self, request: OutgoingRequest, answer: Answer) -> Reason | None:
        """Return why the request is to be sent again; None hands the answer to the caller.

        A body that can be sent once only is never sent twice, nor read into memory for it: then the
        token is marked, and the next call has a new one.
        """
        reason = self._wanted(answer)
        if reason is None or self.spent[reason] == _BUDGET[reason] or self.sends == MOST_SENDS:
            return None
        if request.repeatable:
            return reason
        if reason is Reason.RENEWAL:
            self.authorizer.source.reject(self.held.token)
        return None

    async def prepare(self, reason: Reason, *, readable: bool) -> bool:
        """Get what the request needs to be sent again, and tell whether it is worth it.

        Nobody holds a connection meanwhile, for in a crowd the renewal would find none.

        Args:
            reason: Why it is sent again.
            readable: Whether the answer can still be read by the caller. If not, the request is
                sent again whatever comes.

        Raises:
            OAuthKitError: There is no new token; `recovery` says what to do.
        """
        self.spent[reason] += 1
        before = self.held
        rejected = before.token if reason is Reason.RENEWAL else None
        handed = await self.authorizer.token(rejected=rejected)
        self.held, self.fetched = handed.held, handed.fetched
        if readable and self.held.token.access_token == before.token.access_token:
            return False
        self.sends += 1
        return True

    def _wanted(self, answer: Answer) -> Reason | None:
        if answer.authorization != self.authorizer.present(self.held):
            return None  # a redirect led to another origin, which the token never saw
        if self.authorizer.judge(answer) is not Verdict.DEAD:
            return None
        if self.held.expires_at <= self.authorizer.source.clock.monotonic():
            return Reason.EXPIRY  # nobody has rejected it
        return None if self.fetched else Reason.RENEWAL


def _peek_while_open(peek: Callable[[], HeldToken | None], home: Home) -> HeldToken | None:
    return None if home.closed else peek()


def _leading_on(origin: Origin) -> ConfigurationError:
    https = Origin("https", origin.host, _HTTPS_PORT)
    message = (
        f"where {origin} redirects to {https}, a client that is not the session's own takes the "
        f"token along, and {https} was not named; name it, too, in AsyncTokenSession(origins=…), "
        "or send the request by the session"
    )
    return ConfigurationError(message)


def checked_rules(given: object) -> tuple[Rejection, ...]:
    """Return the rules of `renew_on=`, which is one or several.

    Raises:
        ConfigurationError: Something else is among them.
    """
    found = (given,) if isinstance(given, Rejection) else _several(given)
    rules = tuple(rule for rule in found if isinstance(rule, Rejection))
    if len(rules) == len(found):
        return rules
    message = (
        "renew_on= takes the answers that say the token is dead, for example "
        "renew_on=[Rejection(), Rejection(status=403)]"
    )
    raise ConfigurationError(message)


def _several(given: object) -> tuple[object, ...]:
    """Return what can be gone through as a tuple, and what cannot as one of itself."""
    if not isinstance(given, Iterable):
        return (given,)
    return tuple(cast("Iterable[object]", given))


@lru_cache
def named(
    origins: frozenset[Origin], *, lent: bool = False
) -> frozenset[tuple[str, str, int | None]]:
    """Return origins as the URL classes of HTTP libraries give them: no default port.

    The sessions of all keys have the same ones, and one may be made for every web request.
    """
    return frozenset(
        (origin.scheme, origin.host, None if origin.default_port else origin.port)
        for origin in origins
        if not (lent and _leads_on(origin, origins))
    )


def _leads_on(origin: Origin, origins: frozenset[Origin]) -> bool:
    """Tell whether the HTTP libraries take a token from here to where it was not meant for."""
    return (
        origin.scheme == "http"
        and origin.default_port
        and Origin("https", origin.host, _HTTPS_PORT) not in origins
    )
