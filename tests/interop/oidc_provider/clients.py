"""Who is registered at the server: one client for each way to be known, and for each need."""

from collections.abc import Mapping
from typing import Any, Final

from joserfc.jwk import RSAKey

CALLBACK: Final = "https://app.example/callback"
SECRET: Final = "a secret of thirty-two characters"
RESERVED: Final = "a+b/c d%e:f&g=h~?"
"""A secret that is another one where it is encoded in another way than it is decoded."""

SIGNED_BY: Final = ("RS256", "PS256", "ES256", "Ed25519", "HS256")
ENCRYPTING: Final = RSAKey.generate_key(2_048, {"kid": "encrypting", "use": "enc"})
"""The key of a client whose ID Tokens nobody else can read."""

ALL_GRANTS: Final = (
    "authorization_code",
    "refresh_token",
    "client_credentials",
    "urn:ietf:params:oauth:grant-type:device_code",
)


def _client(client_id: str, method: str, **further: Any) -> Mapping[str, Any]:
    secret = {} if method == "none" or "tls" in method else {"client_secret": SECRET}
    grants = [grant for grant in ALL_GRANTS if method != "none" or grant != "client_credentials"]
    return {
        "client_id": client_id,
        **secret,
        "token_endpoint_auth_method": method,
        "redirect_uris": [CALLBACK],
        "post_logout_redirect_uris": [f"{CALLBACK}/out"],
        "grant_types": grants,
        "response_types": ["code"],
        **further,
    }


PLAIN: Final = (
    _client("basic", "client_secret_basic"),
    _client("reserved characters", "client_secret_basic", client_secret=RESERVED),
    _client("post", "client_secret_post"),
    _client("public", "none"),
    _client("short-lived", "client_secret_basic", access_token_seconds=2),
    _client("code-alone", "client_secret_basic", grant_types=["authorization_code"]),
    _client("limited", "client_secret_basic", scope="openid read"),
    _client("secret-jwt", "client_secret_jwt"),
    _client("mutual-tls", "tls_client_auth", tls_client_auth_subject_dn="CN=reporter"),
)


def clients(*, backchannel: str) -> list[Mapping[str, Any]]:
    """Return all of them.

    Args:
        backchannel: The URL at which one of them takes Logout Tokens.
    """
    signed = [
        _client(f"signed-{name}", "client_secret_basic", id_token_signed_response_alg=name)
        for name in SIGNED_BY
    ]
    encrypted = _client(
        "encrypted",
        "client_secret_basic",
        id_token_encrypted_response_alg="RSA-OAEP-256",
        id_token_encrypted_response_enc="A128GCM",
        jwks={"keys": [ENCRYPTING.as_dict(private=False)]},
    )
    told = _client(
        "told",
        "client_secret_basic",
        backchannel_logout_uri=backchannel,
        backchannel_logout_session_required=True,
    )
    return [*PLAIN, *signed, encrypted, told]
