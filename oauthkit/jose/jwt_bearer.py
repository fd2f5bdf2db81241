"""A JSON Web Token as a right (RFC 7523 §2.1): one that was given, supplied, or is signed here."""

from collections.abc import Mapping
from secrets import token_urlsafe
from typing import TYPE_CHECKING, Any, Final, cast

import attrs

from oauthkit.errors import ConfigurationError
from oauthkit.jose import require_joserfc
from oauthkit.protocol.assertion_grants import repeat_of
from oauthkit.protocol.formats import ParameterValue
from oauthkit.protocol.grants import GrantStrategy, Repeat, scope_text
from oauthkit.protocol.jwt import Signer, check_signer, sign_jwt
from oauthkit.protocol.secret import Unprintable, names_of, unprintable
from oauthkit.protocol.server import AuthorizationServer
from oauthkit.protocol.supplied import Supplied, check_supplied, known, supplied, text_of

if TYPE_CHECKING:
    from oauthkit.jose.private_keys import PrivateKey

_OWN_CLAIMS: Final = frozenset({"iss", "sub", "aud", "iat", "exp", "jti"})
_LONGEST_LIFE: Final = 3_600.0


def _signer(key: "Signer | bytes | Mapping[str, Any] | PrivateKey | None") -> Signer | None:
    """Return what signs: the key itself, if it does, or one made of it.

    Raises:
        ConfigurationError: It is no key, or joserfc is not installed.
    """
    if key is None:
        return None
    if hasattr(key, "sign"):
        check_signer("JWTBearer: key=", key)
        return cast("Signer", key)
    require_joserfc("JWTBearer(key=…)")
    from oauthkit.jose.signing import KeySigner  # noqa: PLC0415 - it loads joserfc

    return KeySigner(cast("PrivateKey", key))


def _named(key: object) -> str:
    """Return what a key is shown as: a signer of somebody's own may show more of itself."""
    return "None" if key is None else f"<{type(key).__name__}>"


@attrs.frozen(kw_only=True)
class JWTBearer(GrantStrategy):
    """Ask by a signed JWT, an assertion (RFC 7523 §2.1).

    It was given, or is supplied, or is signed here, by a key of one's own: then for each request
    anew, with an `iat`, `exp` and `jti` of its own. A server that needs no client authentication
    beside it is asked by an `AnonymousClient`.

    Example:
        A service account, which has a key of its own::

            grant = JWTBearer(
                key=client_key_pem,
                issuer="reporter@project.example",
                claims={"scope": "read"},
            )

    Attributes:
        assertion: The JWT: a text, or an asynchronous function that returns it, or a token that is
            one, such as `session.token`. A text is not presented again once it was refused, or has
            led to a token.
        scope: What is asked for, as a parameter of the request.
        key: In place of `assertion`: what signs. A PEM as bytes, a JWK as a mapping, or a `Signer`,
            whose key may live elsewhere.
        issuer: Who says so (`iss`); None is the client.
        subject: Whom the token will be about (`sub`); None is the issuer, and an empty text leaves
            it out, where a server wants none.
        audience: Whom it is said to (`aud`); None is the server's issuer identifier, or its token
            endpoint where that is not known.
        claims: Further claims, such as the `scope` of Google.
        lifetime: Seconds from `iat` to `exp`: one at least, an hour at most.

    Raises:
        ConfigurationError: There is neither an assertion nor a key, or both; the key is no private
            key, or too weak; a claim is given twice; or the lifetime is none.
    """

    grant_type = "urn:ietf:params:oauth:grant-type:jwt-bearer"

    assertion: Supplied | None = supplied(default=None)
    scope: str | None = attrs.field(default=None, converter=scope_text)
    key: Signer | None = attrs.field(default=None, converter=_signer, repr=_named)
    issuer: str | None = None
    subject: str | None = None
    audience: str | None = None
    claims: Mapping[str, Any] = attrs.field(
        factory=dict[str, Any], converter=unprintable, hash=False, repr=names_of
    )
    lifetime: float = 300.0

    def __attrs_post_init__(self) -> None:
        """Check what belongs together."""
        signed = any((self.issuer, self.subject is not None, self.audience, self.claims))
        if (self.assertion is None) == (self.key is None) or (self.key is None and signed):
            message = (
                "JWTBearer takes either assertion=, or key= with issuer=, subject=, audience= and "
                "claims= that are signed by it"
            )
            raise ConfigurationError(message)
        if self.assertion is not None:
            check_supplied(assertion=self.assertion)
        if twice := sorted(_OWN_CLAIMS & self.claims.keys()):
            message = (
                f"claims= has {', '.join(twice)}, which issuer=, subject=, audience= and lifetime= "
                "say, or which is new each time"
            )
            raise ConfigurationError(message)
        if not 1 <= self.lifetime <= _LONGEST_LIFE:  # moments are whole seconds
            message = f"lifetime= is from 1 to {_LONGEST_LIFE:g} seconds"
            raise ConfigurationError(message)

    @property
    def repeat(self) -> Repeat:  # type: ignore[override] # pyright: ignore[reportIncompatibleVariableOverride]
        """Whether it can be asked again: always by an assertion that is made anew."""
        return repeat_of(self.assertion)

    async def prepared(
        self, server: AuthorizationServer, *, client_id: str, now: float
    ) -> GrantStrategy:
        """Return the grant with the assertion as a text."""
        if self.key is not None:
            text = await sign_jwt(self.key, self._claims(server, client_id, now), typ="JWT")
        elif self.assertion is None or isinstance(self.assertion, str):
            return self
        else:
            text = await text_of("assertion", self.assertion)
        return attrs.evolve(
            self, assertion=text, key=None, issuer=None, subject=None, audience=None, claims={}
        )

    def parameters(self) -> Mapping[str, ParameterValue]:
        """Return assertion and scope."""
        return Unprintable(
            assertion=None if self.assertion is None else known(self.assertion), scope=self.scope
        )

    def _claims(self, server: AuthorizationServer, client_id: str, now: float) -> dict[str, Any]:
        issuer, issued_at = self.issuer or client_id, int(now)
        claims = {
            "iss": issuer,
            "sub": issuer if self.subject is None else self.subject,
            "aud": self.audience or server.issuer or server.token_endpoint,
            "iat": issued_at,
            "exp": issued_at + int(self.lifetime),
            "jti": token_urlsafe(24),
            **self.claims,
        }
        return {name: value for name, value in claims.items() if value != ""}
