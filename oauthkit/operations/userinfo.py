"""Claims about who has logged in, as the server knows them now (OpenID Connect Core §5.3)."""

import time
from functools import partial
from typing import Any, Final, Literal, cast

import anyio
import attrs

from oauthkit.clock import Clock
from oauthkit.errors import ConfigurationError
from oauthkit.exchange import Question
from oauthkit.jose import require_joserfc
from oauthkit.kinds import check_kind
from oauthkit.operations.asking import Issuer, exchange_over
from oauthkit.operations.verifying import Verifier, expected_of
from oauthkit.protocol.binding import Binding
from oauthkit.protocol.client_auth import (
    AnonymousClient,
    Authentication,
    ClientAuth,
    PublicClient,
)
from oauthkit.protocol.client_metadata import ClientMetadata
from oauthkit.protocol.grants import Repeat
from oauthkit.protocol.messages import HTTPRequest, HTTPResponse
from oauthkit.protocol.server import AuthorizationServer
from oauthkit.protocol.token import Token
from oauthkit.protocol.userinfo import (
    ENDPOINT,
    UserInfo,
    build_userinfo_request,
    check_signed_claims,
    parse_signed_userinfo_response,
    parse_userinfo_response,
    userinfo_of,
)
from oauthkit.transport import AsyncHTTPClient

_NAME: Final = "fetch_userinfo"
_NOTHING: Final = ClientMetadata()


async def fetch_userinfo(
    http: AsyncHTTPClient[Any],
    server: Issuer,
    token: Token,
    subject: str | None = None,
    *,
    unverified_subject: bool = False,
    method: Literal["GET", "POST"] = "GET",
    in_body: bool = False,
    client_auth: ClientAuth | None = None,
    client_metadata: ClientMetadata = _NOTHING,
    timeout: float = 30.0,  # noqa: ASYNC109 - an end of its own
    clock: Clock = time,
) -> UserInfo:
    """Ask for the claims about who a token speaks for (OpenID Connect Core §5.3).

    The token goes into the `Authorization` header, and never into the URL. No redirect is followed,
    and no reference to claims elsewhere.

    Example:
        ::

            userinfo = await fetch_userinfo(http, server, await session.token(), subject="ada")
            print(userinfo.claims.get("email"))

    Args:
        http: Whose connections are used.
        server: Who is asked: a server with a `userinfo_endpoint`, or `Discovered`.
        token: What allows it, of type Bearer and with the scope `openid`.
        subject: Whom the claims must be about: the `subject` of the verified ID Token that came
            with the token.
        unverified_subject: Take claims about whoever it is, where there is no ID Token. Who shows
            this application a token that was issued to another one is taken for its owner then, so
            it is for tokens that came from the server itself, in answer to this application.
        method: `POST` for servers that want it.
        in_body: Put the token into the body of a POST, for servers that read it there alone.
        client_auth: Whom a signed answer must be for, where the token does not say it itself
            (`Token.client_id`), or where the answer is signed by the client's secret. A client
            that is known by its certificate is needed for a token that is bound to it: it asks at
            the server's alias, where there is one (RFC 8705 §5).
        client_metadata: What was registered: with a `userinfo_signed_response_alg` the answer must
            be signed, by this very algorithm, and is verified (the extra `jose`).
        timeout: Seconds for all of it. A request that may have been sent is not sent again.
        clock: Tells the time.

    Raises:
        ErrorResponse: The server said no; `error` is `invalid_token` or `insufficient_scope`, for
            example (RFC 6750 §3.1).
        ResponseError: The claims are about another one, or nobody, and are not shown; the token is
            not of type Bearer; or the server answered otherwise, or cannot now.
        InvalidJWT: A signed answer is not to be believed.
        TransportError: It did not answer.
        ConfigurationError: It has no UserInfo endpoint, or has not issued the token; there is
            nothing to compare the subject with; or something else does not fit. Nothing was sent.
    """
    check_kind(f"{_NAME}: token", token, Token)
    check_kind(f"{_NAME}: subject=", subject, str | None)
    check_kind(f"{_NAME}: unverified_subject=", unverified_subject, bool)
    check_kind(f"{_NAME}: in_body=", in_body, bool)
    check_kind(f"{_NAME}: client_auth=", client_auth, ClientAuth | None)
    check_kind(f"{_NAME}: client_metadata=", client_metadata, ClientMetadata)
    asks = None if client_auth is None else _Connected(client_auth)
    exchange = exchange_over(_NAME, http, server, asks, timeout=timeout, clock=clock)
    _check_subject(subject, unverified=unverified_subject)
    _check_method(method, in_body=in_body)
    ends = anyio.current_time() + timeout
    found = await exchange.found(seconds=timeout)
    _check_bound(token, found)
    registered = client_metadata.userinfo_signed_response_alg
    client = None if registered is None else _client_of(token, client_auth)
    build = partial(_build, found, token, method=method, in_body=in_body, signed=bool(registered))
    question: Question[Any] = Question(
        server=found,
        endpoint=found.endpoint(ENDPOINT),
        build=build,
        parse=partial(_parsed, subject) if registered is None else _signed,
        repeat=Repeat.NEVER,
        name=ENDPOINT,
    )
    if client is None:
        return cast("UserInfo", await exchange.ask(question))
    expected = expected_of(server, found, client)
    verifier = Verifier(http, server, found, client, client_metadata, ends=ends, clock=clock)
    signed = await verifier.signed(
        await exchange.ask(question), name="the answer", registered=registered, supported=None
    )
    return userinfo_of(check_signed_claims(signed, expected), subject=subject)


@attrs.frozen
class _Connected(AnonymousClient):
    """Ask where a client does, and say nothing of it: the token says who asks."""

    client_auth: ClientAuth

    def alias(self, server: AuthorizationServer, name: str) -> str | None:
        """Return the client's own."""
        return self.client_auth.alias(server, name)


def _client_of(token: Token, client_auth: ClientAuth | None) -> ClientAuth:
    """Return whom a signed answer must be for.

    Raises:
        ConfigurationError: Nobody says so, or joserfc is not installed.
    """
    require_joserfc("a signed answer of the userinfo endpoint")
    if client_auth is None and token.client_id is None:
        message = (
            "a signed answer must be for this client (OpenID Connect Core §5.3.2), and the token "
            "does not say which that is; give client_auth="
        )
        raise ConfigurationError(message)
    return client_auth or PublicClient(token.client_id or "")


def _check_bound(token: Token, server: AuthorizationServer) -> None:
    """Refuse to show a token to another server than has issued it.

    Raises:
        ConfigurationError: It is another's.
    """
    binding = Binding.of(server, "")
    if not binding.fits(token):
        message = (
            f"the token was issued by {Binding.of_token(token)}, and fetch_userinfo was to ask "
            f"{server.issuer or server.origin}; nothing was sent"
        )
        raise ConfigurationError(message)


def _check_subject(subject: str | None, *, unverified: bool) -> None:
    if subject == "" or (subject is None and not unverified):
        message = (
            "fetch_userinfo compares the claims' sub with that of the ID Token, so that nobody's "
            "claims are taken for another's (OpenID Connect Core §5.3.2); give subject=, such as "
            "identity.subject, or say unverified_subject=True where there is no ID Token"
        )
        raise ConfigurationError(message)


def _check_method(method: object, *, in_body: bool) -> None:
    if method not in {"GET", "POST"}:
        message = 'fetch_userinfo: method= is "GET" or "POST" (OpenID Connect Core §5.3.1)'
        raise ConfigurationError(message)
    if in_body and method != "POST":
        message = 'in_body=True needs method="POST": a GET has no body (RFC 6750 §2.2)'
        raise ConfigurationError(message)


def _build(server: AuthorizationServer, token: Token, _: Authentication, **how: Any) -> HTTPRequest:
    return build_userinfo_request(server, token, **how)


def _parsed(
    subject: str | None, response: HTTPResponse, request: HTTPRequest, requested_at: float
) -> UserInfo:
    return parse_userinfo_response(
        response, subject=subject, requested_at=requested_at, secrets=request.secrets
    )


def _signed(response: HTTPResponse, request: HTTPRequest, requested_at: float) -> str:
    return parse_signed_userinfo_response(
        response, requested_at=requested_at, secrets=request.secrets
    )
