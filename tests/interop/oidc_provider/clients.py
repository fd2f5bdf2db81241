"""Who is registered at the server: one client for each way to be known, and for each need."""

from collections.abc import Mapping
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from joserfc.jwk import ECKey, OKPKey, RSAKey

from oauthkit.protocol.certificate import certificate_chain

CALLBACK: Final = "https://app.example/callback"
SECRET: Final = "a secret of thirty-two characters"
RESERVED: Final = "a+b/c d%e:f&g=h~?"
"""A secret that is another one where it is encoded in another way than it is decoded."""

SIGNED_BY: Final = ("RS256", "PS256", "ES256", "Ed25519", "HS256")
ANSWERS_SIGNED_BY: Final = ("RS256", "ES256", "HS256")
ENCRYPTING: Final[Mapping[str, RSAKey | ECKey]] = {
    "RSA-OAEP-256": RSAKey.generate_key(2_048, {"kid": "rsa-enc", "use": "enc"}),
    "ECDH-ES": ECKey.generate_key("P-256", {"kid": "ec-enc", "use": "enc"}),
    "ECDH-ES+A128KW": ECKey.generate_key("P-384", {"kid": "kw-enc", "use": "enc"}),
}
"""The keys of clients whose ID Tokens nobody else can read, by the algorithm of each."""

SIGNING: Final[Mapping[str, RSAKey | ECKey | OKPKey]] = {
    "RS256": RSAKey.generate_key(2_048, {"kid": "rsa"}),
    "PS256": RSAKey.generate_key(2_048, {"kid": "pss"}),
    "ES256": ECKey.generate_key("P-256", {"kid": "ec"}),
    "Ed25519": OKPKey.generate_key("Ed25519", {"kid": "okp"}),
}
"""The keys by which clients are known, by the algorithm that each is registered for."""

ALL_GRANTS: Final = (
    "authorization_code",
    "refresh_token",
    "client_credentials",
    "urn:ietf:params:oauth:grant-type:device_code",
)


def _client(client_id: str, method: str, **further: Any) -> Mapping[str, Any]:
    secret = {"client_secret": SECRET} if "secret" in method else {}
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
    *(
        _client(
            f"key-{name}",
            "private_key_jwt",
            token_endpoint_auth_signing_alg=name,
            jwks={"keys": [key.as_dict(private=False)]},
        )
        for name, key in SIGNING.items()
    ),
    _client(
        "mutual-tls",
        "tls_client_auth",
        tls_client_auth_subject_dn="CN=reporter",
        tls_client_certificate_bound_access_tokens=True,
    ),
    _client(
        "mutual-tls-stranger", "tls_client_auth", tls_client_auth_subject_dn="CN=somebody else"
    ),
)


def clients(*, backchannel: str, certificate: bytes) -> list[Mapping[str, Any]]:
    """Return all of them.

    Args:
        backchannel: The URL at which one of them takes Logout Tokens.
        certificate: The certificate, in PEM form, that another one has on file.
    """
    signed = [
        _client(f"signed-{name}", "client_secret_basic", id_token_signed_response_alg=name)
        for name in SIGNED_BY
    ]
    answered = [
        _client(
            f"answers-{name}",
            "client_secret_basic",
            userinfo_signed_response_alg=name,
            introspection_signed_response_alg=name,
        )
        for name in ANSWERS_SIGNED_BY
    ]
    encrypted = [
        _client(
            f"encrypted-{name}",
            "client_secret_basic",
            id_token_encrypted_response_alg=name,
            id_token_encrypted_response_enc="A128GCM",
            jwks={"keys": [key.as_dict(private=False)]},
        )
        for name, key in ENCRYPTING.items()
    ]
    told = _client(
        "told",
        "client_secret_basic",
        backchannel_logout_uri=backchannel,
        backchannel_logout_session_required=True,
    )
    filed = _client("filed", "self_signed_tls_client_auth", jwks={"keys": [_key_with(certificate)]})
    return [*PLAIN, *signed, *answered, *encrypted, told, filed]


def _key_with(certificate: bytes) -> Mapping[str, Any]:
    """Return the public key of a certificate as a JWK that has the certificate, too."""
    public = x509.load_pem_x509_certificate(certificate).public_key()
    pem = public.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return {**ECKey.import_key(pem).as_dict(), "x5c": certificate_chain(certificate.decode())}
