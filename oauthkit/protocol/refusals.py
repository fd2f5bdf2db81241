"""What a refusal means: which name of RFC 6749 §5.2 it falls under, and whom it is about.

A server that gives its refusals other names, or none, is understood by rules (`ErrorRule`), which
are values of its `AuthorizationServer`.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from http import HTTPStatus
from typing import Any, Final, cast

import attrs

from oauthkit.errors import (
    ConfigurationError,
    ErrorResponse,
    InvalidGrant,
    InvalidJWT,
    OAuthKitError,
    Recovery,
    ResponseError,
)
from oauthkit.kinds import Checked
from oauthkit.protocol.secret import secret

_BUSY: Final = frozenset(
    {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS}
)
"""The statuses of 400 to 499 that say "later", not "no" (RFC 9110 §15.5.9, RFC 8470, RFC 6585)."""

FINAL: Final = frozenset({*range(200, 300), *range(400, 500)}) - _BUSY
"""The statuses of answers whose words are believed."""

_NAME: Final = re.compile(r"[\x20-\x21\x23-\x5b\x5d-\x7e]+")  # RFC 6749 §5.2

_NOT_THE_RIGHT: Final = frozenset(
    {
        # the client: RFC 6749 §5.2 gives it to failed client authentication alone
        HTTPStatus.UNAUTHORIZED,
        # the way: no token endpoint is there, or a proxy or another server was reached
        HTTPStatus.NOT_FOUND,
        HTTPStatus.PROXY_AUTHENTICATION_REQUIRED,
        HTTPStatus.MISDIRECTED_REQUEST,
        # the form of the request
        HTTPStatus.METHOD_NOT_ALLOWED,
        HTTPStatus.NOT_ACCEPTABLE,
        HTTPStatus.LENGTH_REQUIRED,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        HTTPStatus.REQUEST_URI_TOO_LONG,
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        HTTPStatus.UPGRADE_REQUIRED,
        HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    }
)
"""Statuses of 400 to 499 that say nothing about a refresh token, beside those of `_BUSY`."""

_PAGE: Final = re.compile(r"(\\[xu][0-9a-f]+|\s)*<(!doctype\s+html|html)\b", re.IGNORECASE)
"""How the excerpt of a page begins, after what is escaped there."""

_ABOUT_THE_RIGHT: Final = frozenset(range(400, 500)) - _NOT_THE_RIGHT - _BUSY

_NAMES_OF_OTHERS: Final = frozenset(
    {
        "invalid_client",  # the client is not who it says (RFC 6749 §5.2)
        "unauthorized_client",  # the client may not refresh (RFC 6749 §5.2)
        "unsupported_grant_type",  # nobody may (RFC 6749 §5.2)
        "unsupported_response_type",  # the form (RFC 6749 §4.1.2.1)
        "invalid_scope",  # another scope would do (RFC 6749 §5.2)
        "invalid_target",  # another resource would do (RFC 8707 §2)
        "invalid_dpop_proof",  # the proof beside it (RFC 9449 §5)
        "use_dpop_nonce",  # the proof beside it (RFC 9449 §8)
    }
)
"""Names of refusals that say nothing about a refresh token."""


def _several(values: object) -> tuple[str | float, ...]:
    if isinstance(values, str) or not isinstance(values, Collection):
        message = 'values= of an ErrorRule takes several texts or numbers, such as ("expired",)'
        raise ConfigurationError(message)
    return tuple(cast("Collection[str | float]", values))


@attrs.frozen
class ErrorRule(Checked):
    """A server's own way to refuse, and the name that RFC 6749 §5.2 has for it.

    An answer fits if its status, its member and the grant that was asked by are all as the rule
    says. Of several rules the first that fits decides, before `adapt` and before the RFC's names.

    Example:
        >>> from oauthkit import AuthorizationServer
        >>> server = AuthorizationServer(
        ...     "https://auth.example/token",
        ...     errors=(
        ...         ErrorRule("invalid_grant", member="error", values=("bad_refresh_token",)),
        ...         ErrorRule("temporarily_unavailable", member="error", values=("ratelimited",)),
        ...     ),
        ... )

    Attributes:
        error: The name, such as `invalid_grant`; it decides the error's class and `recovery`.
        status: The HTTP status. None is any final one: what comes with a status that says "later"
            (408, 425, 429, 500 to 599) is believed only where a rule names that status.
        member: Which member of the answer is looked at, as it came, before `adapt`. A dotted name
            reaches into objects, and into every element of a list: `errors.field`.
        values: What the member must be, one of these texts or numbers; a number may come as text.
            None given is any value but null, false, 0 and what is empty.
        grant_type: By which grant was asked; None is any.

    Raises:
        ConfigurationError: The rule would fit no answer at all, or every token.
    """

    error: str
    status: int | None = attrs.field(default=None, kw_only=True)
    member: str | None = attrs.field(default=None, kw_only=True)
    values: tuple[str | float, ...] = attrs.field(default=(), kw_only=True, converter=_several)
    grant_type: str | None = attrs.field(default=None, kw_only=True)

    def __attrs_post_init__(self) -> None:
        """Check the rule when it is written, not when a login is refused."""
        problem = _problem(self)
        if problem is not None:
            raise ConfigurationError(problem)


@attrs.frozen
class Match:
    """A rule that fits an answer, and what it found there.

    Attributes:
        found: The member's value as text; None where there is none, or the status decided alone.
    """

    rule: ErrorRule
    found: str | None = secret(default=None)


def first_match(
    rules: Iterable[ErrorRule], fields: Mapping[str, Any], *, status: int, grant_type: str | None
) -> Match | None:
    """Return the first rule that fits an answer, with what it found; None where none does.

    Args:
        rules: The server's.
        fields: The answer's, as it came; none where it could not be read.
        status: The answer's.
        grant_type: By which grant was asked; None, where that is not known, fits no rule that
            names one.
    """
    for rule in rules:
        if not _asks_for(rule, status, grant_type):
            continue
        if rule.member is None:
            return Match(rule)
        for value in _reached(fields, rule.member):
            if _fits(rule, value):
                return Match(rule, _word(value))
    return None


def refuses_right(error: OAuthKitError) -> bool:
    """Tell whether a refusal of a refresh says that the refresh token itself is dead.

    `invalid_grant` says so (RFC 6749 §5.2). Many servers say it in other words, or in none: so does
    any final status of 400 to 499, unless it is about the client, the way to the server, the form
    of the request or the moment. A page of HTML does not: it is a firewall's or a proxy's, that
    stands in the way. Nor does an unknown name with status 200. A wrong guess would lose a login;
    an `ErrorRule` can say that it does.

    One whose answer had another person's ID Token is spent, and what came is not used.

    Args:
        error: What a token request with a refresh token led to.
    """
    if isinstance(error, InvalidGrant | InvalidJWT):
        return True
    if not isinstance(error, ErrorResponse | ResponseError):
        return False
    if error.recovery is Recovery.RETRY_LATER or error.status_code not in _ABOUT_THE_RIGHT:
        return False
    if isinstance(error, ErrorResponse):
        return error.error not in _NAMES_OF_OTHERS
    return _PAGE.match(error.excerpt) is None


def _problem(rule: ErrorRule) -> str | None:
    """Return why a rule can be none; None where it is good."""
    alone = rule.member is None
    problems = {
        "error= is a name of RFC 6749 §5.2, such as invalid_grant": not _is_name(rule.error),
        "member= is the name of a member, such as error or errors.code": not (
            alone or (isinstance(rule.member, str) and rule.member)
        ),
        "grant_type= is the name of a grant, such as refresh_token": not (
            rule.grant_type is None or _is_name(rule.grant_type)
        ),
        "with neither status= nor member= it fits no answer; say what the refusal is known by": (
            alone and rule.status is None
        ),
        "status= is one of 200 to 299 or 400 to 599: a redirect is never believed": (
            rule.status is not None and not _is_nameable(rule.status)
        ),
        "values= are compared with a member; name it by member=": alone and bool(rule.values),
        "status=200 alone fits every token; say what the refusal is known by by member=": (
            alone and rule.status == HTTPStatus.OK
        ),
        "values= are texts, numbers, True or False": None in map(_word, rule.values),
    }
    found = next((problem for problem, there in problems.items() if there), None)
    return found and f"this ErrorRule cannot work: {found}"


def _is_name(value: object) -> bool:
    return isinstance(value, str) and bool(_NAME.fullmatch(value))


def _is_nameable(value: object) -> bool:
    return isinstance(value, int) and (value in range(200, 300) or value in range(400, 600))


def _asks_for(rule: ErrorRule, status: int, grant_type: str | None) -> bool:
    expected = status in FINAL if rule.status is None else status == rule.status
    return expected and rule.grant_type in {None, grant_type}


def _reached(value: object, path: str) -> Iterator[object]:
    """Give what stands at a dotted path: several values, where the path meets a list."""
    if isinstance(value, list):
        for element in cast("list[object]", value):
            yield from _reached(element, path)
    elif not path:
        yield value
    elif isinstance(value, Mapping):
        members = cast("Mapping[str, object]", value)
        outer, _, inner = path.partition(".")
        if path in members:  # a name may have a dot of its own
            yield from _reached(members[path], "")
        elif inner and outer in members:
            yield from _reached(members[outer], inner)


def _fits(rule: ErrorRule, value: object) -> bool:
    if not rule.values:
        return bool(value)
    return _word(value) in {_word(expected) for expected in rule.values}


def _word(value: object) -> str | None:
    """Return a text, number or boolean as JSON and XML have it in common; None for all else."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value) if isinstance(value, int | float) else None
