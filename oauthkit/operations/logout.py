"""Look at Logout Tokens, which a server sends when somebody logs out (Back-Channel Logout 1.0)."""

import time
from contextlib import suppress
from typing import Any, Final

import anyio
import attrs

from oauthkit.clock import Clock
from oauthkit.errors import InvalidJWT, OAuthKitError, StoreError
from oauthkit.exchange import Exchange
from oauthkit.jose import require_joserfc
from oauthkit.kinds import check_kind
from oauthkit.operations.asking import Issuer, exchange_over
from oauthkit.operations.verifying import Verifier, expected_of, silent
from oauthkit.protocol.client_auth import ClientAuth, PublicClient
from oauthkit.protocol.client_metadata import ClientMetadata
from oauthkit.protocol.id_token import LEEWAY
from oauthkit.protocol.logout_token import LogoutToken, check_logout_token
from oauthkit.protocol.token import Token
from oauthkit.stores.base import TokenStore
from oauthkit.stores.logout_index import LogoutIndex
from oauthkit.stores.single_use import SingleUseStore, released
from oauthkit.transport import AsyncHTTPClient

_NOTHING: Final = ClientMetadata()


async def verify_logout_token(
    http: AsyncHTTPClient[Any],
    server: Issuer,
    client: ClientAuth | str,
    logout_token: str,
    *,
    used: SingleUseStore | None = None,
    client_metadata: ClientMetadata = _NOTHING,
    leeway: float = LEEWAY,
    timeout: float = 30.0,  # noqa: ASYNC109 - an end of its own, for all that has to be fetched
    clock: Clock = time,
) -> LogoutToken:
    """Return whose visits are over, if a Logout Token is to be believed (§2.6).

    It is signed as ID Tokens are. What it was sent with is looked at by who takes it: a POST of a
    form, answered with 200 and `Cache-Control: no-store`, or with 400 where this raises.

    Example:
        ::

            said = await verify_logout_token(http, server, "reporter", form["logout_token"])
            print(said.issuer, said.subject, said.session_id)

    Args:
        http: Whose connections are used.
        server: Who may have issued it; it needs an `issuer` and a `jwks_uri`.
        client: The client it is for, or its identifier.
        logout_token: The Logout Token, as it came.
        used: Where it is remembered that the token came, so that it counts once (`jti`).
        client_metadata: What was registered for this client beyond what everybody has.
        leeway: Seconds by which the two clocks may differ, 600 at most.
        timeout: Seconds for all that has to be fetched.
        clock: Tells the time.

    Raises:
        InvalidJWT: It is not to be believed, or came before; the message says why.
        StoreError: `used` could not say whether it came before.
        TransportError: The keys could not be had. Nothing is known of the Logout Token yet.
        ResponseError: The keys could not be had; `recovery` says whether later.
        ConfigurationError: Something does not fit, or joserfc (the extra `jose`) is not installed.
    """
    logout_token = silent(logout_token)
    check_kind("verify_logout_token: used=", used, SingleUseStore | None)
    said = await _verified(
        "verify_logout_token",
        *(http, server, client, logout_token),
        client_metadata=client_metadata,
        leeway=leeway,
        timeout=timeout,
        clock=clock,
    )
    await _claim(used, said, leeway=leeway)
    return said


@attrs.frozen
class LoggedOut:
    """Be what came of a logout that a server has announced.

    Attributes:
        said: What the server said.
        keys: Under which store keys the tokens were that are gone.
        not_revoked: Why tokens that are gone here may live on at the server.
    """

    said: LogoutToken
    keys: tuple[str, ...]
    not_revoked: tuple[OAuthKitError, ...] = ()


async def complete_logout(
    http: AsyncHTTPClient[Any],
    server: Issuer,
    client_auth: ClientAuth,
    logout_token: str,
    *,
    store: TokenStore,
    index: LogoutIndex,
    used: SingleUseStore | None = None,
    client_metadata: ClientMetadata = _NOTHING,
    leeway: float = LEEWAY,
    timeout: float = 30.0,  # noqa: ASYNC109 - an end of its own, and one for the tokens' revocation
    clock: Clock = time,
) -> LoggedOut:
    """Verify a Logout Token, and log out whom it is about (Back-Channel Logout 1.0 §2.6, §2.7).

    The tokens of all keys that the index finds are deleted, which is a logout for every session in
    every process. Then their refresh tokens are revoked at the server, but for those that were
    asked for with `offline_access`: they are meant to outlive a visit.

    Example:
        ::

            done = await complete_logout(
                http, server, client_auth, form["logout_token"], store=store, index=index
            )
            print(done.said.issuer, done.keys)

    Args:
        http: Whose connections are used.
        server: Who may have issued it; it needs an `issuer` and a `jwks_uri`.
        client_auth: The client it is for.
        logout_token: The Logout Token, as it came.
        store: Where the tokens are.
        index: Which of them are whose; each login adds its key there.
        used: As for `verify_logout_token`.
        client_metadata: What was registered for this client beyond what everybody has.
        leeway: Seconds by which the two clocks may differ, 600 at most.
        timeout: Seconds for all that has to be fetched, and for each revocation.
        clock: Tells the time.

    Raises:
        InvalidJWT: It is not to be believed, or came before; nobody was logged out.
        StoreError: Store or index failed, and not everybody is logged out; the others are. The same
            Logout Token can be brought again.
        TransportError: The keys could not be had. Nothing is known of the Logout Token yet.
        ResponseError: The keys could not be had; `recovery` says whether later.
        ConfigurationError: Something does not fit, or joserfc (the extra `jose`) is not installed.
    """
    logout_token = silent(logout_token)
    check_kind("complete_logout: client_auth", client_auth, ClientAuth)
    check_kind("complete_logout: store=", store, TokenStore)
    check_kind("complete_logout: index=", index, LogoutIndex)
    check_kind("complete_logout: used=", used, SingleUseStore | None)
    said = await _verified(
        "complete_logout",
        *(http, server, client_auth, logout_token),
        client_metadata=client_metadata,
        leeway=leeway,
        timeout=timeout,
        clock=clock,
    )
    keys = await index.find(issuer=said.issuer, subject=said.subject, session_id=said.session_id)
    await _claim(used, said, leeway=leeway)
    tokens: dict[str, Token | None] = {}
    failure: StoreError | None = None
    done = False
    try:
        failure = await _take(sorted(keys), tokens, store, index)
        done = failure is None
    finally:
        if not done and used is not None:
            await released(used, said.once_id)
    exchange = exchange_over(
        "complete_logout", http, server, client_auth, timeout=timeout, clock=clock
    )
    failures = [
        unrevoked
        for token in tokens.values()
        if token is not None and (unrevoked := await _revoked(exchange, token)) is not None
    ]
    if failure is not None:
        raise failure
    return LoggedOut(said, tuple(tokens), tuple(failures))


async def _verified(
    name: str,
    http: AsyncHTTPClient[Any],
    server: Issuer,
    client: ClientAuth | str,
    logout_token: str,
    *,
    client_metadata: ClientMetadata,
    leeway: float,
    timeout: float,  # noqa: ASYNC109 - as its callers have it
    clock: Clock,
) -> LogoutToken:
    require_joserfc(name)
    check_kind(f"{name}: client", client, ClientAuth | str)
    check_kind(f"{name}: logout_token", logout_token, str)
    check_kind(f"{name}: client_metadata=", client_metadata, ClientMetadata)
    check_kind(f"{name}: leeway=", leeway, float)
    exchange = exchange_over(name, http, server, None, timeout=timeout, clock=clock)
    ends = anyio.current_time() + timeout
    known = await exchange.found(seconds=timeout)
    client_auth = PublicClient(client) if isinstance(client, str) else client
    expected = expected_of(server, known, client_auth, leeway=leeway)
    verifier = Verifier(http, server, known, client_auth, client_metadata, ends=ends, clock=clock)
    token = await verifier.signed(
        verifier.decrypted(logout_token, name="the Logout Token"),
        name="the Logout Token",
        registered=client_metadata.id_token_signed_response_alg,
        supported=known.id_token_signing_alg_values_supported,
    )
    return check_logout_token(token, expected, now=clock.time())


async def _claim(used: SingleUseStore | None, said: LogoutToken, *, leeway: float) -> None:
    if used is None:
        return
    if not await used.claim(said.once_id, expires_at=said.expires_at + leeway):
        message = "this Logout Token came before, and counts once (Back-Channel Logout 1.0 §2.6)"
        raise InvalidJWT(message)


async def _take(
    keys: list[str], tokens: dict[str, Token | None], store: TokenStore, index: LogoutIndex
) -> StoreError | None:
    """Take the tokens of all keys out of the store, and the keys out of the index.

    Returns:
        The first failure: one key's is no reason to leave another one logged in.
    """
    failure: StoreError | None = None
    for key in keys:
        try:
            tokens[key] = await _taken(store, key)
            await index.remove(key)
        except StoreError as error:
            failure = failure or error
    return failure


async def _taken(store: TokenStore, key: str) -> Token | None:
    """Take a token out of the store."""
    token: Token | None = None
    with suppress(StoreError):  # what cannot be read can be deleted all the same
        token = await store.load(key)
    await store.delete(key)
    return token


async def _revoked(exchange: Exchange, token: Token) -> OAuthKitError | None:
    """Have the server revoke what a token could be renewed with; return why it did not."""
    lasting = "offline_access" in (token.scope or "").split()
    if token.refresh_token is None or lasting:
        return None
    try:
        await exchange.revoke(token.refresh_token, hint="refresh_token")
    except OAuthKitError as error:
        return error
    return None
