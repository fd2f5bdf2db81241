"""Which answers of an API say that the token is dead (RFC 6750 §3, RFC 9110 §11.6.1)."""

import enum
from collections.abc import Iterable
from http import HTTPStatus
from typing import Final, cast

import attrs

from oauthkit.errors import ConfigurationError, printable
from oauthkit.protocol.challenge import Challenge

_NO_SCHEME: Final = ""  # servers exist that leave it out
_ERRORS: Final = frozenset({None, "invalid_token", "invalid_request"})
_FIRST_FAILURE: Final = 400
_LAST: Final = 599
_NAME_LIMIT: Final = 40


class Verdict(enum.Enum):
    """What an answer says about the token."""

    DEAD = enum.auto()
    """A new one may help."""
    OTHER_SCHEME = enum.auto()
    """The API asks for other authentication schemes alone."""
    OTHER = enum.auto()
    """Anything else: a new token would not help."""


def _names(given: object, *, what: str) -> frozenset[str | None]:
    if isinstance(given, str) or not isinstance(given, Iterable):
        message = f"Rejection({what}=…) takes several names, for example {what}={{'a', 'b'}}"
        raise ConfigurationError(message)
    found = tuple(cast("Iterable[object]", given))
    names = frozenset(name for name in found if isinstance(name, str | None))
    for name in found:
        if name not in names:
            message = f"Rejection({what}=…) takes names as texts, not {type(name).__name__}"
            raise ConfigurationError(message)
    return names


def _error_codes(given: object) -> frozenset[str | None]:
    return _names(given, what="errors")


def _schemes(given: object) -> frozenset[str] | None:
    if given is None:
        return None
    return frozenset(name.lower() for name in _names(given, what="schemes") if name is not None)


def _checked_status(_: object, __: object, status: object) -> None:
    if not isinstance(status, int) or not _FIRST_FAILURE <= status <= _LAST:
        message = f"Rejection(status=…) takes a status from 400 to 599, not {status!r}"
        raise ConfigurationError(message)


@attrs.frozen(kw_only=True)
class Rejection:
    """Rule of an API's own: an answer of this form says that the access token is dead.

    The answer has the status, and either no challenge at all, or one of the schemes; and each
    challenge of these schemes has one of the error codes. A challenge whose server left the scheme
    out counts as one of them.

    Example:
        For an API that answers 403 to a dead token, as `renew_on=[Rejection(), forbidden]`:

        >>> forbidden = Rejection(status=403, errors={"invalid_token"})

    Args:
        status: The HTTP status.
        schemes: The authentication schemes whose challenges count, such as `{"basic"}` for an API
            that says Basic and means Bearer; None is the one that the token is shown by.
        errors: The error codes (RFC 6750 §3.1) that a new token may cure; None among them is a
            challenge without one. `insufficient_scope` is not: a new token has the same scope.

    Raises:
        ConfigurationError: The status is that of no failure, or a name is no text.
    """

    status: int = attrs.field(default=int(HTTPStatus.UNAUTHORIZED), validator=_checked_status)
    schemes: frozenset[str] | None = attrs.field(default=None, converter=_schemes)
    errors: frozenset[str | None] = attrs.field(default=_ERRORS, converter=_error_codes)

    def judge(self, status: int, challenges: Iterable[Challenge], *, scheme: str) -> Verdict:
        """Return what an answer says by this rule.

        Args:
            status: Its HTTP status.
            challenges: Its challenges.
            scheme: The scheme that the token was shown by, in lower case.
        """
        if status != self.status:
            return Verdict.OTHER
        found = list(challenges)
        schemes = {scheme, _NO_SCHEME} if self.schemes is None else {*self.schemes, _NO_SCHEME}
        ours = [challenge for challenge in found if challenge.scheme in schemes]
        if found and not ours:
            return Verdict.OTHER_SCHEME
        errors = {challenge.error for challenge in ours} or {None}
        return Verdict.DEAD if errors <= self.errors else Verdict.OTHER


def judge(
    rules: Iterable[Rejection], status: int, challenges: Iterable[Challenge], *, scheme: str
) -> Verdict:
    """Return what an answer says by any of the rules: that the token is dead, before all else."""
    found = tuple(challenges)
    verdicts = {rule.judge(status, found, scheme=scheme) for rule in rules}
    for verdict in (Verdict.DEAD, Verdict.OTHER_SCHEME):
        if verdict in verdicts:
            return verdict
    return Verdict.OTHER


def scheme_names(challenges: Iterable[Challenge]) -> str:
    """Return the schemes of challenges as text, for who reads a log."""
    return printable(", ".join(dict.fromkeys(c.scheme for c in challenges)), _NAME_LIMIT)
