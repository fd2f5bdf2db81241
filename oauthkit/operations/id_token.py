"""Look at ID Tokens: signature, keys, claims (OpenID Connect Core 1.0 §3.1.3.7)."""

import time
from collections.abc import Collection, Mapping
from collections.abc import Set as AbstractSet
from typing import Any, Final

import anyio

from oauthkit.clock import Clock
from oauthkit.jose import require_joserfc
from oauthkit.kinds import check_kind
from oauthkit.operations.asking import Issuer, exchange_over
from oauthkit.operations.verifying import Verifier, expected_of, silent
from oauthkit.protocol.client_auth import ClientAuth
from oauthkit.protocol.client_metadata import ClientMetadata
from oauthkit.protocol.id_token import LEEWAY, Identity, check_id_token
from oauthkit.protocol.secret import SecretStr
from oauthkit.transport import AsyncHTTPClient

_NOTHING: Final = ClientMetadata()
_KINDS: Final[Mapping[str, Any]] = {
    "id_token": str,
    "nonce": str | None,
    "max_age": float | None,
    # a text has characters, and none of them is meant
    "acr_values": list[str] | tuple[str, ...] | AbstractSet[str] | None,
    "access_token": str | None,
    "follows": Identity | None,
    "client_metadata": ClientMetadata,
    "leeway": float,
}


async def verify_id_token(
    http: AsyncHTTPClient[Any],
    server: Issuer,
    client_auth: ClientAuth,
    id_token: str,
    *,
    nonce: str | None = None,
    max_age: float | None = None,
    acr_values: Collection[str] | None = None,
    access_token: str | None = None,
    follows: Identity | None = None,
    client_metadata: ClientMetadata = _NOTHING,
    leeway: float = LEEWAY,
    timeout: float = 30.0,  # noqa: ASYNC109 - an end of its own, for all that has to be fetched
    clock: Clock = time,
) -> Identity:
    """Return who an ID Token says has logged in, if it is to be believed.

    Its signature is always looked at, also where it came from the token endpoint itself, with the
    server's keys, which are fetched when they are needed. `complete_login` does this; here it is
    for an ID Token that was kept, or that came with a refresh.

    Example:
        Later, when the keys could not be had at the login::

            identity = await verify_id_token(
                http, server, client_auth, token.id_token, nonce=login.nonce
            )

    Args:
        http: Whose connections are used.
        server: Who has issued it; it needs an `issuer` and a `jwks_uri`.
        client_auth: Who it is for. Its secret is the key where a MAC is registered, and only there.
        id_token: The ID Token, as it came.
        nonce: The one of the login; None where the login had none.
        max_age: Seconds since the person authenticated at most, where the login asked for that.
        acr_values: One of these is needed, and where there are none of them, any; None where the
            login did not ask for it as essential.
        access_token: The access token that came with it, for `at_hash`.
        follows: The identity of the login, for an ID Token that came with a refresh (§12.2): it has
            the same issuer, subject, audience, time of authentication, and nonce if it has one.
        client_metadata: What was registered for this client beyond what everybody has.
        leeway: Seconds by which the two clocks may differ, 600 at most.
        timeout: Seconds for all that has to be fetched.
        clock: Tells the time.

    Raises:
        InvalidJWT: It is not to be believed; the message says why.
        TransportError: The keys could not be had. Nothing is known of the ID Token yet.
        ResponseError: The keys could not be had; `recovery` says whether later.
        ConfigurationError: Something does not fit, or joserfc (the extra `jose`) is not installed.
    """
    require_joserfc("verify_id_token")
    check_kind("verify_id_token: client_auth", client_auth, ClientAuth)
    id_token, nonce, access_token = map(silent, (id_token, nonce, access_token))
    _check_kinds(
        id_token=id_token,
        nonce=nonce,
        max_age=max_age,
        acr_values=acr_values,
        access_token=access_token,
        follows=follows,
        client_metadata=client_metadata,
        leeway=leeway,
    )
    exchange = exchange_over("verify_id_token", http, server, None, timeout=timeout, clock=clock)
    ends = anyio.current_time() + timeout
    known = await exchange.found(seconds=timeout)
    expected = expected_of(
        server,
        known,
        client_auth,
        nonce=nonce,
        max_age=max_age,
        acr_values=None if acr_values is None else frozenset(acr_values),
        access_token=access_token,
        follows=follows,
        leeway=leeway,
    )
    verifier = Verifier(http, server, known, client_auth, client_metadata, ends=ends, clock=clock)
    return check_id_token(await verifier.id_token(id_token), expected, now=clock.time())


def _check_kinds(**given: object) -> None:
    for name, value in given.items():
        if type(value) is SecretStr:  # a text, as its field is
            continue
        check_kind(f"verify_id_token: {name}=", value, _KINDS[name])
