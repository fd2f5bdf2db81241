"""Clients of the fake server that sign in place of sending a secret (RFC 7523 §3, RFC 10070)."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import attrs

from oauthkit.jose import require_joserfc
from oauthkit.protocol.compact import SignedToken, read_signed
from oauthkit.protocol.keys import ALGORITHMS, key_set, least_secret

_LONGEST_LIFE: Final = 300
"""Seconds: an assertion that is good for longer is refused."""

_ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_TYPE: Final = "client-authentication+jwt"
_SKEW: Final = 10
"""Seconds that a client's clock may be ahead."""


@attrs.define(eq=False)
class ClientAssertions:
    """Look at the assertions of a client, each of which is good once.

    Attributes:
        spent: The `jti` of those that were taken.
    """

    spent: set[str] = attrs.field(factory=set[str], repr=False)

    def fault(
        self,
        parameters: Mapping[str, object],
        *,
        client_id: str,
        client_secret: str | None,
        jwks: Mapping[str, Any] | None,
        issuer: str,
        now: float,
    ) -> str | None:
        """Return what is wrong with an assertion; None where nothing is, and then it is spent.

        Args:
            parameters: What came in the body.
            client_id: The client that is registered.
            client_secret: Its secret, if it has one.
            jwks: Its public keys (RFC 7517 §5), if it has such.
            issuer: Who it has to speak to.
            now: Seconds since the epoch.
        """
        text = parameters.get("client_assertion")
        try:
            token = read_signed(text if isinstance(text, str) else "")
            claims = token.claims()
        except ValueError as error:
            return f"the client_assertion cannot be read: {error}"
        if not _is_signed(token, client_secret, jwks):
            return "no key of the client has signed the client_assertion"
        faults = _faults(token, claims, parameters, client_id=client_id, issuer=issuer, now=now)
        wrong = next(faults, None)
        if wrong is not None:
            return f"the client_assertion has {wrong}"
        if claims["jti"] in self.spent:
            return "the client_assertion was used before: its jti is known"
        self.spent.add(str(claims["jti"]))
        return None


def _is_signed(
    token: SignedToken, client_secret: str | None, jwks: Mapping[str, Any] | None
) -> bool:
    require_joserfc("a FakeAuthorizationServer whose client signs")
    from oauthkit.jose.verifying import (  # noqa: PLC0415 - it loads joserfc
        is_signed_by,
        is_signed_with,
    )

    if token.algorithm not in ALGORITHMS:
        return False
    if token.algorithm.startswith("HS"):
        octets = (client_secret or "").encode()
        return len(octets) >= least_secret(token.algorithm) and is_signed_with(token, octets)
    if jwks is None:
        return False
    keys = key_set(jwks["keys"]).candidates(token.algorithm, token.key_id)
    return any(is_signed_by(token, key) for key in keys)


def _faults(
    token: SignedToken,
    claims: Mapping[str, Any],
    parameters: Mapping[str, object],
    *,
    client_id: str,
    issuer: str,
    now: float,
) -> Iterator[str]:
    """Give what is wrong, in the order in which it is looked at."""
    if parameters.get("client_assertion_type") != _ASSERTION_TYPE:
        yield f"not the client_assertion_type {_ASSERTION_TYPE}"
    if token.type != _TYPE:
        yield f"not the typ {_TYPE}"
    if parameters.get("client_id") not in {None, client_id}:
        yield "another subject than the client_id beside it"
    if (claims.get("iss"), claims.get("sub")) != (client_id, client_id):
        yield "not the client as iss and sub"
    if claims.get("aud") != issuer:
        yield "not the issuer as its one aud"
    exp, iat, jti = claims.get("exp"), claims.get("iat"), claims.get("jti")
    if type(exp) is not int or not now < exp <= now + _LONGEST_LIFE:
        yield f"no exp within the next {_LONGEST_LIFE} seconds"
    if type(iat) is not int or iat > now + _SKEW:
        yield "no iat that has been"
    if not isinstance(jti, str) or not jti:
        yield "no jti"
