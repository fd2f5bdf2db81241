"""Look at the signature of what a server has signed, by the keys of this moment (RFC 7515 §5.2)."""

from typing import TYPE_CHECKING, Any

import anyio
import attrs

from oauthkit.clock import Clock
from oauthkit.discovery import Discovered
from oauthkit.errors import ConfigurationError, InvalidJWT, OAuthKitError, printable
from oauthkit.keyring import keyring_of
from oauthkit.operations.asking import Issuer
from oauthkit.protocol.client_auth import ClientAuth
from oauthkit.protocol.client_metadata import ClientMetadata
from oauthkit.protocol.compact import SignedToken, is_encrypted, read_signed
from oauthkit.protocol.id_token import Expected
from oauthkit.protocol.keys import KeySet, allowed_algorithms, least_secret
from oauthkit.protocol.secret import SecretBytes, SecretStr
from oauthkit.protocol.server import AuthorizationServer
from oauthkit.transport import AsyncHTTPClient

if TYPE_CHECKING:
    from oauthkit.jose.decrypting import Decryption


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


def silent(text: Any) -> Any:
    """Return a text as a secret, so that no traceback with local values shows it."""
    return SecretStr(text) if isinstance(text, str) else text


@attrs.frozen
class Verifier:
    """Look at the signatures of one server for one client.

    Attributes:
        issuer: Who was given, by which it is found out whether the server has moved.
        server: Who that is, as far as is known.
        ends: Until when, on the event loop's own clock, what is missing may be fetched.
    """

    http: AsyncHTTPClient[Any]
    issuer: Issuer
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
        """Tell whether one of the server's keys has signed, wherever they are now.

        Raises:
            OAuthKitError: They could not be had.
        """
        failure: OAuthKitError | None = None
        try:
            good = await self._is_signed_by(self.server, token)
        except InvalidJWT:
            raise
        except OAuthKitError as error:
            good, failure = None, error
        if good is None and (moved := await self._moved()) is not None:
            return bool(await self._is_signed_by(moved, token))
        if failure is not None:
            raise failure
        return bool(good)

    async def _is_signed_by(self, server: AuthorizationServer, token: SignedToken) -> bool | None:
        """Tell whether a key has signed, of this moment if need be; None where it has no such."""
        ring = keyring_of(server)
        keys = await ring.keys(self.http, seconds=self._left, clock=self.clock)
        if _has_signed(token, keys):
            return True
        if keys.has(token.key_id):  # it names a key that is known, and that has not signed it
            return False
        newer = await ring.newer(self.http, keys, seconds=self._left, clock=self.clock)
        return True if newer is not None and _has_signed(token, newer) else None

    async def _moved(self) -> AuthorizationServer | None:
        """Return the server if its metadata says by now that its keys are elsewhere."""
        if not isinstance(self.issuer, Discovered):
            return None
        self.issuer.doubt(self.server)
        found = await self.issuer.within(self.http, self._left)
        return found if found.jwks_uri != self.server.jwks_uri else None

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

    known: Decryption | None = metadata.loaded.get("decryption")
    if known is None:
        known = metadata.loaded["decryption"] = Decryption.of(
            metadata.decryption_keys,
            algorithm=metadata.id_token_encrypted_response_alg or "",
            encryption=metadata.id_token_encrypted_response_enc or "A128CBC-HS256",
        )
    return known


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
