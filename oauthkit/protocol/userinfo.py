"""Claims about who has logged in: the UserInfo request and answer (OpenID Connect Core §5.3)."""

from collections.abc import Collection, Mapping
from http import HTTPStatus
from typing import Any, Final

import attrs

from oauthkit.errors import ErrorResponse, InvalidJWT, ResponseError, printable
from oauthkit.protocol.answers import decode_fields, masked, unusable
from oauthkit.protocol.challenge import Challenge, parse_challenges
from oauthkit.protocol.compact import SignedToken
from oauthkit.protocol.echoes import without_secrets
from oauthkit.protocol.endpoint import retry_after
from oauthkit.protocol.error_response import error_by_status
from oauthkit.protocol.formats import FORM
from oauthkit.protocol.id_token import Expected, check_audience, check_issuer, read_claims
from oauthkit.protocol.messages import HTTPRequest, HTTPResponse
from oauthkit.protocol.presentation import BEARER
from oauthkit.protocol.secret import (
    NoPickle,
    SecretStr,
    Unprintable,
    names_of,
    secrets_of,
    unprintable,
)
from oauthkit.protocol.server import AuthorizationServer
from oauthkit.protocol.token import Token

ENDPOINT: Final = "userinfo_endpoint"

_OK: Final = range(200, 300)
_SIGNED: Final = "application/jwt"


@attrs.frozen(kw_only=True)
class UserInfo(NoPickle):
    """What a server says of a resource owner (OpenID Connect Core §5.3.2).

    Example:
        >>> UserInfo(subject="ada", claims={"sub": "ada", "email": "ada@example.org"})
        UserInfo(subject='ada', claims=<'sub', 'email'>)

    Attributes:
        subject: Who it is about, as the server calls them (`sub`).
        claims: All members of the answer, as they came. Where it refers to claims that others make
            (`_claim_names`, `_claim_sources`, §5.6.2), those references stand there, and are
            neither followed nor verified.
    """

    subject: str
    claims: Mapping[str, Any] = attrs.field(converter=unprintable, hash=False, repr=names_of)


def build_userinfo_request(
    server: AuthorizationServer,
    token: Token,
    *,
    method: str = "GET",
    in_body: bool = False,
    signed: bool = False,
) -> HTTPRequest:
    """Return the request for the claims about who a token speaks for (§5.3.1).

    Args:
        server: Who is asked.
        token: What allows it; it goes into the header, and never into the URL.
        method: `GET` or `POST`.
        in_body: Put the token into the body of a POST instead (RFC 6750 §2.2).
        signed: Ask for a signed answer.

    Raises:
        ConfigurationError: The server has no UserInfo endpoint, or it may not be one.
        ResponseError: The token is not of type Bearer, or fits into no header.
    """
    url = server.endpoint(ENDPOINT)
    headers = {"accept": _SIGNED if signed else "application/json"}
    authorization, content = BEARER.authorization(token), b""
    if in_body:
        headers["content-type"], content = FORM.encode({"access_token": token.access_token})
    else:
        headers["authorization"] = authorization
        if method == "POST":
            headers["content-type"], content = FORM.encode({})
    return HTTPRequest(
        method, url, headers, content, secrets_of(token), public_only=server.public_only
    )


def parse_userinfo_response(
    response: HTTPResponse,
    *,
    subject: str | None,
    requested_at: float,
    secrets: Collection[str] = (),
) -> UserInfo:
    """Return the claims of an answer, if they are about the right one (§5.3.2, §5.3.4).

    Args:
        response: The answer.
        subject: The `sub` of the ID Token that came with the token; None compares nothing.
        requested_at: When the request was sent, in seconds since the epoch, for a date in
            `Retry-After`.
        secrets: What no error may show, should the answer echo it.

    Raises:
        ErrorResponse: The server said no, in the words of RFC 6750 §3.1.
        ResponseError: It said no in other words, or cannot answer now; or the answer has no `sub`,
            or another one. No claim is shown then.
    """
    refusal = _refusal(response, requested_at=requested_at, secrets=secrets)
    if refusal is not None:
        raise refusal
    return userinfo_of(_claims(response), subject=subject, status_code=response.status_code)


def parse_signed_userinfo_response(
    response: HTTPResponse, *, requested_at: float, secrets: Collection[str] = ()
) -> str:
    """Return the signed claims of an answer, of which nothing is to be believed yet (§5.3.2).

    Args:
        response: The answer.
        requested_at: As for `parse_userinfo_response`.
        secrets: Likewise.

    Raises:
        ErrorResponse: The server said no, in the words of RFC 6750 §3.1.
        ResponseError: It said no in other words, or cannot answer now; or the claims are not
            signed, although they are registered to be.
    """
    refusal = _refusal(response, requested_at=requested_at, secrets=secrets)
    if refusal is not None:
        raise refusal
    if _kind(response) != _SIGNED:
        message = (
            "the claims came unsigned, and are registered to be signed "
            "(userinfo_signed_response_alg): they are not used"
        )
        raise ResponseError(message, status_code=response.status_code)
    return SecretStr(response.content.decode("ascii", "replace").strip())


def check_signed_claims(token: SignedToken, expected: Expected) -> Mapping[str, Any]:
    """Return the claims of a signed answer, if they are by this server and for this client.

    Args:
        token: The answer, its signature looked at.
        expected: Who may have signed it, and for whom.

    Raises:
        InvalidJWT: It is something else; no claim is shown.
    """
    if token.type not in {None, "jwt", "userinfo+jwt"}:
        message = f"it is another kind of token: its typ is {printable(str(token.type))!r}"
        raise InvalidJWT(message)
    claims = read_claims(token)
    check_issuer(claims, expected)
    check_audience(claims, expected.client_id)
    return claims


def userinfo_of(
    claims: Mapping[str, Any], *, subject: str | None, status_code: int | None = None
) -> UserInfo:
    """Return claims, if they are about the right one, in whatever envelope they came.

    Args:
        claims: The members of the JSON object, or of a signed answer that was verified.
        subject: Whom they must be about; None is anybody.
        status_code: Of the answer, for an error.

    Raises:
        ResponseError: There is no `sub`, or another one; no claim is shown.
    """
    found = claims.get("sub")
    if not isinstance(found, str) or not found:
        message = (
            "the claims have no sub (OpenID Connect Core §5.3.2), and may be anybody's: they are "
            "not used"
        )
        raise ResponseError(message, status_code=status_code)
    if subject is not None and found != subject:
        message = (
            "the claims are about another subject than the ID Token, as where a token was "
            "exchanged for another one's (OpenID Connect Core §5.3.2); they are not used"
        )
        raise ResponseError(message, status_code=status_code)
    return UserInfo(subject=found, claims=claims)


def _claims(response: HTTPResponse) -> Unprintable:
    """Return the members of a success; what cannot be read is not shown, as it is about somebody.

    Raises:
        ResponseError: It is no JSON object.
    """
    if _kind(response) == _SIGNED:
        message = (
            "the claims came signed or encrypted (application/jwt); say how they are registered to "
            "be signed, by client_metadata=ClientMetadata(userinfo_signed_response_alg=…)"
        )
        raise ResponseError(message, status_code=response.status_code)
    try:
        return decode_fields(response)
    except ResponseError as error:
        reason = error.args[0]
    raise ResponseError(reason, status_code=response.status_code)


def _kind(response: HTTPResponse) -> str:
    return response.headers.get("content-type", "").partition(";")[0].strip().lower()


# What says no


def _refusal(
    response: HTTPResponse, *, requested_at: float, secrets: Collection[str]
) -> ErrorResponse | ResponseError | None:
    pause = retry_after(response, now=requested_at)
    refusal = error_by_status(response, secrets=secrets, pause=pause, name=ENDPOINT)
    if refusal is not None or response.status_code in _OK:
        return refusal
    said = _words(response)
    if said is None:
        message = "the userinfo endpoint refused, and did not say why in the words of RFC 6750 §3.1"
        return unusable(response, message, secrets=secrets)
    error = ErrorResponse(
        masked(said["error"], secrets=secrets),
        _masked(said.get("error_description"), secrets),
        status_code=response.status_code,
        www_authenticate=(
            without_secrets(value, secrets)
            for value in response.headers.get_all("www-authenticate")
        ),
    )
    scope = _masked(said.get("scope"), secrets)
    if response.status_code == HTTPStatus.FORBIDDEN and scope:
        error.hint = f"it needs a token with the scope {scope}"
    return error


def _words(response: HTTPResponse) -> Mapping[str, Any] | None:
    """Return what the server says: in its challenge, or, as some do, in the body alone."""
    challenges = parse_challenges(response.headers.get_all("www-authenticate"))
    said = next((one.parameters for one in challenges if _speaks(one)), None)
    if said is None:
        try:
            said = decode_fields(response)
        except ResponseError:
            return None
    return said if isinstance(said.get("error"), str) and said["error"] else None


def _speaks(challenge: Challenge) -> bool:
    return challenge.scheme in {BEARER.scheme, ""} and bool(challenge.error)


def _masked(value: object, secrets: Collection[str]) -> str | None:
    return masked(value, secrets=secrets) if isinstance(value, str) and value else None
