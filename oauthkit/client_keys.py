"""Clients that sign in place of sending a secret (RFC 7523 §2.2, RFC 10070).

What is sent is a JWT that says who asks, to whom it speaks and for how long: who reads it on the
way, or in a log, can use it nowhere else, and not for long. It is made anew for every try.
"""

from collections.abc import Collection, Mapping
from secrets import token_urlsafe
from typing import Any, Final, cast

import attrs

from oauthkit.errors import ConfigurationError
from oauthkit.jose import require_joserfc
from oauthkit.protocol.certificate import certificate_chain, certificate_thumbprint
from oauthkit.protocol.client_auth import Authentication, ClientAuth
from oauthkit.protocol.jwt import Signer, check_signer, fitting_signer, sign_jwt
from oauthkit.protocol.secret import SecretStr, check_given, secret
from oauthkit.protocol.server import AuthorizationServer

_ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_TYPE: Final = "client-authentication+jwt"
_LIFETIME: Final = 60.0
_LONGEST_LIFETIME: Final = 86_400.0
_FARTHEST_CLOCK: Final = 86_400.0
_OTHERS: Final = ("revocation_endpoint", "introspection_endpoint")
"""Endpoints beside the token endpoint whose metadata has a list of its own (RFC 8414 §2)."""


@attrs.frozen
class ClientSecretJWT(ClientAuth):
    """Sign with the client secret in place of sending it (method `client_secret_jwt`).

    It needs the extra `jose`. For the settings see `PrivateKeyJWT`, which is to be preferred: there
    the server has nothing that a thief could use.

    Example:
        >>> ClientSecretJWT("reporter", "a secret of 32 bytes or more, by RFC 7518")
        ClientSecretJWT(client_id='reporter', client_secret='***', alg='HS256')

    Attributes:
        client_secret: The secret, of as many bytes as the hash at least (RFC 7518 §3.2).
        alg: `HS256`, `HS384` or `HS512`.

    Raises:
        ConfigurationError: The secret is too short, or a setting cannot work.
    """

    auth_method = "client_secret_jwt"

    client_id: str
    client_secret: str = secret()
    alg: str = "HS256"
    audience: str | None = attrs.field(default=None, kw_only=True, repr=False)
    typ: str | None = attrs.field(default=_TYPE, kw_only=True, repr=False)
    lifetime: float = attrs.field(default=_LIFETIME, kw_only=True, repr=False)
    clock_offset: float = attrs.field(default=0.0, kw_only=True, repr=False)
    send_client_id: bool = attrs.field(default=True, kw_only=True, repr=False)
    _signer: Signer = attrs.field(init=False, repr=False, eq=False)

    def __attrs_post_init__(self) -> None:
        """Look at all of it at once."""
        check_given(client_secret=self.client_secret)
        _check(self)
        object.__setattr__(self, "_signer", _secret_signer(self.client_secret, self.alg))

    async def authenticate(
        self, server: AuthorizationServer, *, endpoint: str, now: float
    ) -> Authentication:
        """Put a new assertion into the body."""
        return await _signed(self, self._signer, server, endpoint=endpoint, now=now)


@attrs.frozen
class PrivateKeyJWT(ClientAuth):
    """Sign with a private key whose public one the server has (method `private_key_jwt`).

    A PEM and a JWK need the extra `jose`; a `Signer` of your own needs nothing.

    Example:
        ::

            client_auth = PrivateKeyJWT("reporter", client_key_pem)

    Attributes:
        key: The private key: a PEM as bytes, a JWK as a mapping, whose `kid` is sent, or a
            `Signer`, which may be a key service. What is kept is what signs.
        alg: By which algorithm, by its name in JWS (RFC 7518 §3.1); None is that of the JWK, else
            one that fits the key and that the server's metadata lists, RS256 before PS256, and
            `Ed25519` before `EdDSA` (RFC 9864). A `Signer` has its own.
        key_id: The `kid` of a PEM, by which the server finds the public key; None is that of the
            JWK, or leaves it out.
        audience: To whom the assertion speaks; None is the server's issuer, for every endpoint, as
            RFC 10070 has it. Servers from before it may want their token endpoint.
        typ: The type that the header names: `client-authentication+jwt` by RFC 10070. Some servers
            want `JWT`; None leaves it out.
        lifetime: Seconds until an assertion expires.
        clock_offset: Seconds by which the server's clock is ahead of this machine's, where that
            cannot be set; below 0, behind it. An error that comes of it says how many.
        send_client_id: Whether `client_id` is sent beside it, which RFC 7521 §4.2 leaves open.
        certificate: A certificate of the key, in PEM form, for servers that find the key by it: its
            thumbprint becomes `x5t#S256` of the header (RFC 7515 §4.1.8).
        send_chain: Whether the certificates themselves are sent, too, as `x5c` (§4.1.6).

    Raises:
        ConfigurationError: It is no private key, one that is too weak or does not fit `alg`, or a
            setting cannot work.
    """

    auth_method = "private_key_jwt"

    client_id: str
    key: bytes | Mapping[str, Any] | Signer = attrs.field(repr=lambda key: f"<{key.alg} key>")
    alg: str | None = None
    audience: str | None = None
    key_id: str | None = attrs.field(default=None, kw_only=True)
    typ: str | None = attrs.field(default=_TYPE, kw_only=True, repr=False)
    lifetime: float = attrs.field(default=_LIFETIME, kw_only=True, repr=False)
    clock_offset: float = attrs.field(default=0.0, kw_only=True, repr=False)
    send_client_id: bool = attrs.field(default=True, kw_only=True, repr=False)
    certificate: str | None = attrs.field(default=None, kw_only=True, repr=False)
    send_chain: bool = attrs.field(default=False, kw_only=True, repr=False)

    def __attrs_post_init__(self) -> None:
        """Look at all of it at once; the key is kept as what signs with it."""
        _check(self)
        _header(self)
        object.__setattr__(self, "key", _key_signer(self.key, self.alg, self.key_id))

    async def authenticate(
        self, server: AuthorizationServer, *, endpoint: str, now: float
    ) -> Authentication:
        """Put a new assertion into the body."""
        signer, header = cast("Signer", self.key), _header(self)
        return await _signed(self, signer, server, endpoint=endpoint, now=now, header=header)


async def _signed(
    client: ClientSecretJWT | PrivateKeyJWT,
    signer: Signer,
    server: AuthorizationServer,
    *,
    endpoint: str,
    now: float,
    header: Mapping[str, Any] | None = None,
) -> Authentication:
    """Return what one request carries (RFC 7523 §2.2)."""
    supported, where = _listed(server, endpoint)
    signer = fitting_signer(signer, supported, where=where)
    claims = {
        "iss": client.client_id,
        "sub": client.client_id,
        "aud": client.audience or _issuer(server, type(client).__name__),
        "jti": token_urlsafe(16),
        "iat": int(now + client.clock_offset),
        "exp": int(now + client.clock_offset + client.lifetime),
    }
    assertion = await sign_jwt(signer, claims, typ=client.typ, header=header)
    parameters = {"client_assertion_type": _ASSERTION_TYPE, "client_assertion": assertion}
    if client.send_client_id:
        parameters["client_id"] = client.client_id
    return Authentication(parameters=parameters)


def _issuer(server: AuthorizationServer, name: str) -> str:
    """Return to whom an assertion speaks where nobody says otherwise (RFC 10070).

    Raises:
        ConfigurationError: The server has no issuer identifier.
    """
    if server.issuer is None:
        message = (
            "an assertion speaks to the server's issuer, and this server has none; give "
            "AuthorizationServer(…, issuer=…), or to a server from before RFC 10070 its token "
            f"endpoint: {name}(…, audience=…)"
        )
        raise ConfigurationError(message)
    return server.issuer


def _listed(server: AuthorizationServer, endpoint: str) -> tuple[Collection[str] | None, str]:
    """Return the algorithms that the server takes at an endpoint, and what calls them so."""
    for name in ("token_endpoint", *_OTHERS):
        where = f"{name}_auth_signing_alg_values_supported"
        asked = endpoint in (getattr(server, name), server.mtls_endpoint_aliases.get(name))
        if asked and getattr(server, where) is not None:
            return getattr(server, where), where
    where = "token_endpoint_auth_signing_alg_values_supported"
    return server.token_endpoint_auth_signing_alg_values_supported, where


def _header(client: PrivateKeyJWT) -> Mapping[str, Any]:
    """Return what the header says of the certificate.

    Raises:
        ConfigurationError: It is none in PEM form, or a chain is to be sent and there is none.
    """
    if client.certificate is None:
        if client.send_chain:
            message = "send_chain=True sends the certificates of certificate=; give them"
            raise ConfigurationError(message)
        return {}
    chain = {"x5c": certificate_chain(client.certificate)} if client.send_chain else {}
    return {"x5t#S256": certificate_thumbprint(client.certificate), **chain}


def _key_signer(
    key: bytes | Mapping[str, Any] | Signer, alg: str | None, key_id: str | None
) -> Signer:
    """Return what signs with a key.

    Raises:
        ConfigurationError: It is none that a client is known by, or another algorithm's.
    """
    if isinstance(key, bytes | Mapping):
        require_joserfc("PrivateKeyJWT with a PEM or a JWK")
        from oauthkit.jose.signing import KeySigner  # noqa: PLC0415 - only who needs it pays for it

        signer: Signer = KeySigner(key, alg, key_id=key_id)
    else:
        signer = key
    check_signer("PrivateKeyJWT: key=", signer)
    if signer.alg.startswith("HS"):
        message = "the key is a secret that both sides have; give it to a ClientSecretJWT"
        raise ConfigurationError(message)
    if alg not in {None, signer.alg} or key_id not in {None, signer.key_id}:
        message = (
            f"alg= and key_id= are for a PEM or a JWK; this Signer signs by {signer.alg} and calls "
            f"its key {signer.key_id!r}; leave them out"
        )
        raise ConfigurationError(message)
    return signer


def _secret_signer(client_secret: str, alg: str) -> Signer:
    require_joserfc("ClientSecretJWT")
    from oauthkit.jose.signing import KeySigner  # noqa: PLC0415 - only who needs it pays for it

    return KeySigner.symmetric(SecretStr(client_secret), alg)


def _check(client: ClientSecretJWT | PrivateKeyJWT) -> None:
    """Refuse settings that cannot work.

    Raises:
        ConfigurationError: There is one.
    """
    texts = {"client_id": client.client_id, "audience": client.audience, "typ": client.typ}
    check_given(**{name: text for name, text in texts.items() if text is not None})
    if not 1 <= client.lifetime <= _LONGEST_LIFETIME:
        message = f"lifetime={client.lifetime!r} must be from 1 to {_LONGEST_LIFETIME:g} seconds"
        raise ConfigurationError(message)
    if not -_FARTHEST_CLOCK <= client.clock_offset <= _FARTHEST_CLOCK:
        message = (
            f"clock_offset={client.clock_offset!r} must be from {-_FARTHEST_CLOCK:g} to "
            f"{_FARTHEST_CLOCK:g} seconds; set the clock of this machine"
        )
        raise ConfigurationError(message)
