"""The second half of a login: from the callback to the token and to who it is."""

import time
from typing import Any, Final

import attrs

from oauthkit.clock import Clock
from oauthkit.errors import (
    CallbackError,
    ConfigurationError,
    InvalidJWT,
    OAuthKitError,
    Recovery,
    StoreError,
    for_another,
)
from oauthkit.exchange import Exchange
from oauthkit.jose import require_joserfc
from oauthkit.kinds import check_kind
from oauthkit.labels import LOGGER, log_fields
from oauthkit.operations.asking import Issuer, exchange_over
from oauthkit.operations.id_token import verify_id_token
from oauthkit.operations.verifying import check_verifiable
from oauthkit.protocol.authorization import AuthorizationRequest, Callback
from oauthkit.protocol.client_auth import ClientAuth
from oauthkit.protocol.client_metadata import ClientMetadata
from oauthkit.protocol.grants import AuthorizationCode
from oauthkit.protocol.id_token import LEEWAY, Identity, check_leeway
from oauthkit.protocol.single_use import CODES, LOGINS
from oauthkit.protocol.token import Token
from oauthkit.stores.single_use import SingleUseStore, released
from oauthkit.transport import AsyncHTTPClient

_NOTHING: Final = ClientMetadata()
_LONGEST_LIFE: Final = 86_400.0
"""Seconds for which the end of a login is remembered that has no end of its own."""


@attrs.frozen
class LoggedIn:
    """Be what came of a login.

    Attributes:
        token: The token; save it whatever `identity` is.
        identity: Who has logged in, verified; None without the scope `openid`, and where
            `not_verified` says why. `verified()` raises there.
        not_verified: Why the ID Token could not be looked at, though the login was good: the
            server's keys were not to be had. `verify_id_token` can do it later. None otherwise.
    """

    token: Token
    identity: Identity | None = None
    not_verified: OAuthKitError | None = None

    def verified(self) -> Identity:
        """Return who has logged in, for whoever can go on with nobody else.

        Raises:
            OAuthKitError: The ID Token could not be looked at (`not_verified`); the token is good
                all the same.
            ConfigurationError: The login did not ask who it is (OpenID Connect Core §3.1.2.1).
        """
        if self.not_verified is not None:
            raise for_another(self.not_verified)
        if self.identity is None:
            message = (
                "nobody has said who has logged in, as the login did not ask: add openid to scope= "
                "(OpenID Connect Core §3.1.2.1)"
            )
            raise ConfigurationError(message)
        return self.identity


async def complete_login(
    http: AsyncHTTPClient[Any],
    server: Issuer,
    client_auth: ClientAuth,
    login: AuthorizationRequest,
    callback: Callback,
    *,
    method: str | None = None,
    content_type: str | None = None,
    used: SingleUseStore | None = None,
    client_metadata: ClientMetadata = _NOTHING,
    leeway: float = LEEWAY,
    timeout: float = 30.0,  # noqa: ASYNC109 - an end of its own, for the token and for the keys
    clock: Clock = time,
) -> LoggedIn:
    """Check a callback, exchange its code, and return the token and who has logged in.

    The callback is accepted once, and a forged one does not count (`AuthorizationRequest.accept`),
    nor does a try by which the code has certainly not left: the same callback can be brought again.
    With the scope `openid` the ID Token is looked at, all of it (OpenID Connect Core 1.0 §3.1.3.7).
    If the server's keys cannot be had just then, the code is spent and the token is good all the
    same: then it is returned without an identity, and a warning is logged.

    Example:
        ::

            result = await complete_login(http, server, client_auth, login, request.url)
            await store.save(key, result.token)
            if result.identity is not None:
                print(result.identity.issuer, result.identity.subject)

    Args:
        http: Whose connections are used.
        server: Who is asked: the one that the login was started with.
        client_auth: Who asks.
        login: The login, as `AuthorizationRequest.new` or `from_dict` gave it.
        callback: The callback's parameters, as for `AuthorizationRequest.accept`.
        method: The HTTP method that the callback came by, likewise.
        content_type: The `Content-Type` header of a callback that was posted, likewise.
        used: Where it is remembered that the login was accepted, for more processes than this one.
            It is asked once the callback is known to belong to the login, and before the code is
            sent.
        client_metadata: What was registered for this client beyond what everybody has.
        leeway: Seconds by which the two clocks may differ, 600 at most.
        timeout: Seconds for the token, and as many for the keys.
        clock: Tells the time.

    Raises:
        CallbackError: The callback does not belong to this login.
        ErrorResponse: The server, or the resource owner (`AccessDenied`), said no.
        InvalidJWT: The ID Token is missing, or not to be believed. The login has failed; the token
            that came with it is not used.
        TransportError: The token endpoint did not answer.
        ReauthorizationRequired: The code was sent before.
        StoreError: `used` could not say; nothing was sent, and the login has to be begun anew.
        ConfigurationError: Something does not fit; nothing was sent.
    """
    check_kind("complete_login: login", login, AuthorizationRequest)
    check_kind("complete_login: client_auth", client_auth, ClientAuth)
    check_kind("complete_login: client_metadata=", client_metadata, ClientMetadata)
    check_kind("complete_login: leeway=", leeway, float)
    check_kind("complete_login: method=", method, str | None)
    check_kind("complete_login: content_type=", content_type, str | None)
    check_kind("complete_login: used=", used, SingleUseStore | None)
    check_leeway(leeway)
    exchange = exchange_over(
        "complete_login", http, server, client_auth, timeout=timeout, clock=clock
    )
    if login.nonce is not None:  # what cannot be looked at is said while the code is good
        require_joserfc("complete_login with the scope openid")
        known = await exchange.found(seconds=timeout)
        check_verifiable(known, client_auth, client_metadata)
    try:
        now = clock.time()
        grant = login.accept(callback, now=now, method=method, content_type=content_type)
    finally:
        del callback  # a traceback that shows local values would show it
    if used is not None:
        await _claim(used, login, now=now)
    token = await _exchanged(exchange, login, grant, used)
    if login.nonce is None:
        return LoggedIn(token)
    if token.id_token is None:
        message = (
            "the answer has no id_token, though the scope openid was asked for (OpenID Connect "
            "Core 1.0 §3.1.3.3); is the client registered for it?"
        )
        raise InvalidJWT(message)
    try:
        identity = await verify_id_token(
            http,
            server,
            client_auth,
            token.id_token,
            nonce=login.nonce,
            max_age=login.max_age,
            acr_values=login.essential_acr,
            access_token=token.access_token,
            client_metadata=client_metadata,
            leeway=leeway,
            timeout=timeout,
            clock=clock,
        )
    except InvalidJWT:
        raise
    except OAuthKitError as error:
        LOGGER.warning(
            "who has logged in could not be verified: %s",
            error,
            extra=log_fields("IdentityNotVerified", url=exchange.line, error=error),
        )
        return LoggedIn(token, not_verified=error)
    return LoggedIn(token, identity)


async def _exchanged(
    exchange: Exchange,
    login: AuthorizationRequest,
    grant: AuthorizationCode,
    used: SingleUseStore | None,
) -> Token:
    """Return the token of a code; where that has certainly not left, the login goes on.

    Raises:
        OAuthKitError: As `Exchange.token` does.
    """
    try:
        return await exchange.token(grant)
    except BaseException as error:
        if not CODES.knows(login.token_endpoint, grant.code):
            if used is None or await released(used, login.once_id):
                LOGINS.release(login.code_verifier, login.state)
            elif isinstance(error, OAuthKitError):
                error.recovery = Recovery.REAUTHORIZE
        raise


async def _claim(used: SingleUseStore, login: AuthorizationRequest, *, now: float) -> None:
    """Note for all processes that a login was accepted.

    Raises:
        CallbackError: It was accepted before, by another process.
        StoreError: That could not be found out.
    """
    ends = login.expires_at or now + _LONGEST_LIFE
    try:
        first = await used.claim(login.once_id, expires_at=ends)
    except StoreError as error:
        error.recovery = Recovery.REAUTHORIZE  # this process accepts the login no more
        raise
    if not first:
        message = "this login was accepted before; start a new one (RFC 6749 §4.1.2)"
        raise CallbackError(message)
