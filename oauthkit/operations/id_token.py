"""Look at ID Tokens: signature, keys, claims (OpenID Connect Core 1.0 §3.1.3.7)."""

import time
from collections.abc import Collection, Mapping
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, Any, Final

import anyio
import attrs

from oauthkit.clock import Clock
from oauthkit.discovery import Discovered
from oauthkit.errors import ConfigurationError, InvalidJWT, printable
from oauthkit.jose import require_joserfc
from oauthkit.keyring import keyring_of
from oauthkit.kinds import check_kind
from oauthkit.operations.asking import Issuer, exchange_over
from oauthkit.protocol.client_auth import ClientAuth
from oauthkit.protocol.client_metadata import ClientMetadata
from oauthkit.protocol.compact import SignedToken, is_encrypted, read_signed
from oauthkit.protocol.id_token import LEEWAY, Expected, Identity, check_id_token
from oauthkit.protocol.keys import KeySet, allowed_algorithms, least_secret
from oauthkit.protocol.secret import SecretBytes, SecretStr
from oauthkit.protocol.server import AuthorizationServer
from oauthkit.transport import AsyncHTTPClient

if TYPE_CHECKING:
    from oauthkit.jose.decrypting import Decryption

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
    verifier = Verifier(http, known, client_auth, client_metadata, ends=ends, clock=clock)
    return check_id_token(await verifier.id_token(id_token), expected, now=clock.time())


def _check_kinds(**given: object) -> None:
    for name, value in given.items():
        if type(value) is SecretStr:  # a text, as its field is
            continue
        check_kind(f"verify_id_token: {name}=", value, _KINDS[name])


def silent(text: Any) -> Any:
    """Return a text as a secret, so that no traceback with local values shows it."""
    return SecretStr(text) if isinstance(text, str) else text


def expected_of(
    server: Issuer, known: AuthorizationServer, client_auth: ClientAuth, **more: Any
) -> Expected:
    """Return what a token has to be by who was asked, and for whom.

    Args:
        server: Who was asked.
        known: The server, where that had to be found.
        client_auth: For whom.
        more: Further attributes.

    Raises:
        ConfigurationError: The issuer is not known.
    """
    issuer = issuer_of(known)
    is_issuer = server.accepts if isinstance(server, Discovered) else issuer.__eq__
    return Expected(is_issuer=is_issuer, issuer=issuer, client_id=client_auth.client_id, **more)


def check_verifiable(
    server: AuthorizationServer, client_auth: ClientAuth, client_metadata: ClientMetadata
) -> None:
    """Refuse settings by which no ID Token could be believed, while nothing was sent yet.

    Args:
        server: Who will issue it.
        client_auth: For whom.
        client_metadata: What was registered for this client.

    Raises:
        ConfigurationError: There is no issuer, no algorithm, no key, or no way to open it.
    """
    issuer_of(server)
    allowed = allowed_algorithms(
        "the ID Token",
        registered=client_metadata.id_token_signed_response_alg,
        supported=server.id_token_signing_alg_values_supported,
    )
    macs = [algorithm for algorithm in allowed if algorithm.startswith("HS")]
    for algorithm in macs:
        _secret_of(client_auth, algorithm)
    if not macs:
        server.endpoint("jwks_uri")
    if client_metadata.id_token_encrypted_response_alg is not None:
        _decryption(client_metadata)


def issuer_of(server: AuthorizationServer) -> str:
    """Return whose ID Tokens are believed.

    Raises:
        ConfigurationError: It is not known.
    """
    if not server.issuer:
        message = (
            "an ID Token is believed of one issuer alone; give AuthorizationServer(…, issuer=…), "
            "or find the server by discover"
        )
        raise ConfigurationError(message)
    return server.issuer


@attrs.frozen
class Verifier:
    """Look at the signatures of one server for one client.

    Attributes:
        ends: Until when, on the event loop's own clock, what is missing may be fetched.
    """

    http: AsyncHTTPClient[Any]
    server: AuthorizationServer
    client_auth: ClientAuth
    client_metadata: ClientMetadata
    ends: float = attrs.field(kw_only=True)
    clock: Clock = attrs.field(kw_only=True)

    async def id_token(self, text: str) -> SignedToken:
        """Return an ID Token whose signature is good.

        Raises:
            InvalidJWT: It is not.
            OAuthKitError: The keys could not be had.
        """
        return await self.signed(
            self.decrypted(text, name="the ID Token"),
            name="the ID Token",
            registered=self.client_metadata.id_token_signed_response_alg,
            supported=self.server.id_token_signing_alg_values_supported,
        )

    async def signed(
        self, text: str, *, name: str, registered: str | None, supported: tuple[str, ...] | None
    ) -> SignedToken:
        """Return a token whose signature is good.

        Args:
            text: The token, as it came.
            name: What an error calls it.
            registered: The one algorithm that was registered for it.
            supported: Those that the metadata has for it.

        Raises:
            InvalidJWT: It is not.
            OAuthKitError: The keys could not be had.
        """
        allowed = allowed_algorithms(name, registered=registered, supported=supported)
        token = _read(text)
        if token.algorithm not in allowed:
            message = (
                f"{name} is signed by {printable(token.algorithm)!r}, and may be by "
                f"{', '.join(sorted(allowed))}; if the client is registered for another one, say "
                "it by client_metadata=ClientMetadata(…)"
            )
            raise InvalidJWT(message)
        good = (
            self._is_ours(token)
            if token.algorithm.startswith("HS")
            else await self._is_of_server(token)
        )
        if not good:
            message = f"the signature of {name} is not good for any key of the server"
            raise InvalidJWT(message)
        return token

    def _is_ours(self, token: SignedToken) -> bool:
        """Tell whether a token has the MAC of the client's own secret (§10.1)."""
        from oauthkit.jose.verifying import is_signed_with  # noqa: PLC0415 - it loads joserfc

        return is_signed_with(token, _secret_of(self.client_auth, token.algorithm))

    async def _is_of_server(self, token: SignedToken) -> bool:
        """Tell whether one of the server's keys has signed, those of this moment if need be."""
        ring = keyring_of(self.server)
        keys = await ring.keys(self.http, seconds=self._left, clock=self.clock)
        if _has_signed(token, keys):
            return True
        if keys.has(token.key_id):  # it names a key that is known, and that has not signed it
            return False
        newer = await ring.newer(self.http, keys, seconds=self._left, clock=self.clock)
        return newer is not None and _has_signed(token, newer)

    @property
    def _left(self) -> float:
        return max(self.ends - anyio.current_time(), 0.0)

    def decrypted(self, text: str, *, name: str) -> str:
        """Return what is in an encrypted token, where ID Tokens are registered to be such.

        Args:
            text: The token, as it came.
            name: What an error calls it.

        Raises:
            InvalidJWT: It is not encrypted as it has to be.
        """
        if self.client_metadata.id_token_encrypted_response_alg is None:
            return text
        if not is_encrypted(text):
            message = f"{name} is not encrypted, and is registered to be"
            raise InvalidJWT(message)
        return _decryption(self.client_metadata).opened(text)


def _secret_of(client_auth: ClientAuth, algorithm: str) -> bytes:
    """Return the client's secret as the key of a MAC (§10.1).

    Raises:
        ConfigurationError: It has none, or one that is shorter than the hash.
    """
    secret = getattr(client_auth, "client_secret", None)
    octets = SecretBytes(secret.encode()) if isinstance(secret, str) else SecretBytes()
    least = least_secret(algorithm)
    if len(octets) < least:
        message = (
            f"{algorithm} needs a client secret of {least} bytes at least (RFC 7518 §3.2), and "
            "this client has none such; register another algorithm, such as RS256"
        )
        raise ConfigurationError(message)
    return octets


def _decryption(metadata: ClientMetadata) -> "Decryption":
    """Return what opens tokens that are encrypted as was registered.

    Raises:
        ConfigurationError: Algorithm, encryption or a key cannot be used.
    """
    from oauthkit.jose.decrypting import Decryption  # noqa: PLC0415 - few need it

    return Decryption.of(
        metadata.decryption_keys,
        algorithm=metadata.id_token_encrypted_response_alg or "",
        encryption=metadata.id_token_encrypted_response_enc or "A128CBC-HS256",
    )


def _read(text: str) -> SignedToken:
    reason = ""
    try:
        return read_signed(text)
    except ValueError as error:
        reason = str(error)
    del text  # a traceback that shows local values would show it
    raise InvalidJWT(reason)


def _has_signed(token: SignedToken, keys: KeySet) -> bool:
    """Tell whether a key has signed; where none is named, and several fit, none is taken."""
    from oauthkit.jose.verifying import is_signed_by  # noqa: PLC0415 - it loads joserfc

    candidates = keys.candidates(token.algorithm, token.key_id)
    if token.key_id is None and len(candidates) > 1:
        message = (
            "it does not say by which key it is signed (kid), and the server has several that fit"
        )
        raise InvalidJWT(message)
    return any(is_signed_by(token, key) for key in candidates)
