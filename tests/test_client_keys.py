"""Clients that sign: what an assertion says, by which algorithm, and what is refused before."""

import asyncio
import json
import sys
from base64 import urlsafe_b64decode
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import attrs
import pytest
from joserfc.jwk import ECKey, OctKey, OKPKey

from oauthkit import (
    AuthorizationServer,
    ClientAuth,
    ClientCredentials,
    ClientSecretJWT,
    ConfigurationError,
    PrivateKeyJWT,
)
from oauthkit.jose.signing import KeySigner
from oauthkit.jose.verifying import is_signed_by, is_signed_with
from oauthkit.protocol.certificate import certificate_chain, certificate_thumbprint
from oauthkit.protocol.compact import SignedToken, read_signed
from oauthkit.protocol.keys import PublicKey
from oauthkit.protocol.token_endpoint import build_token_request
from tests.rsa_keys import RSA

VECTORS = Path(__file__).parent / "vectors"
URN = json.loads((VECTORS / "rfc7523.json").read_text())["client_assertion_type"]["value"]
CERTIFICATE = (
    "-----BEGIN CERTIFICATE-----\n"
    + json.loads((VECTORS / "rfc8705.json").read_text())["thumbprint"]["certificate"]
    + "\n-----END CERTIFICATE-----\n"
)

SERVER = AuthorizationServer("https://auth.example/token", issuer="https://auth.example")
SECRET = "canary-of-a-secret-with-32-bytes!"
EC = ECKey.generate_key("P-256")
PEM = EC.as_pem(private=True)
NOW = 1_795_000_000.75
"""A time between two seconds."""


@attrs.define
class KeyService:
    """Be a signer whose key is elsewhere."""

    alg: str = "ES256"
    key_id: str | None = "service-1"
    asked: list[bytes] = attrs.field(factory=list[bytes])

    async def sign(self, data: bytes, /) -> bytes:
        self.asked.append(data)
        return b"signature"


def said(**members: Any) -> AuthorizationServer:
    return attrs.evolve(SERVER, **members)


async def parameters(
    client_auth: ClientAuth, server: AuthorizationServer = SERVER, endpoint: str | None = None
) -> dict[str, str]:
    endpoint = endpoint or server.token_endpoint
    made = await client_auth.authenticate(server, endpoint=endpoint, now=NOW)
    assert made.headers == {}
    return dict(made.parameters)


async def assertion(
    client_auth: ClientAuth, server: AuthorizationServer = SERVER, endpoint: str | None = None
) -> SignedToken:
    return read_signed((await parameters(client_auth, server, endpoint))["client_assertion"])


async def test_an_assertion_says_who_asks_whom_and_for_how_long() -> None:
    """JA-01, JA-02, JA-04, JA-06."""
    token = await assertion(PrivateKeyJWT("reporter", PEM))

    claims = dict(token.claims())
    assert len(claims.pop("jti")) >= 22
    assert claims == {
        "iss": "reporter",
        "sub": "reporter",
        "aud": "https://auth.example",
        "iat": 1_795_000_000,
        "exp": 1_795_000_060,
    }
    assert all(type(claims[name]) is int for name in ("iat", "exp"))
    assert token.header == {"alg": "ES256", "typ": "client-authentication+jwt"}


async def test_the_key_of_the_client_has_signed_it() -> None:
    """JA-01, OC-33: private_key_jwt."""
    for key in (EC, RSA, OKPKey.generate_key("Ed25519")):
        token = await assertion(PrivateKeyJWT("reporter", key.as_dict(private=True)))

        assert is_signed_by(token, PublicKey(key.as_dict(private=False)))


async def test_the_secret_of_the_client_has_signed_it() -> None:
    """JA-01, OC-33: client_secret_jwt."""
    token = await assertion(ClientSecretJWT("reporter", SECRET))

    assert token.header == {"alg": "HS256", "typ": "client-authentication+jwt"}
    assert is_signed_with(token, SECRET.encode())
    assert token.claims()["sub"] == "reporter"


@pytest.mark.parametrize("client_auth", [PrivateKeyJWT("a", PEM), ClientSecretJWT("a", SECRET)])
async def test_a_request_has_one_assertion_its_type_and_no_secret(client_auth: ClientAuth) -> None:
    """JA-07, JA-08, O2-01."""
    authentication = await client_auth.authenticate(SERVER, endpoint="https://e", now=NOW)
    request = build_token_request(SERVER, client_auth, ClientCredentials(), authentication)

    body = dict(parse_qsl(bytes(request.content).decode()))
    assert body["client_assertion_type"] == URN
    assert read_signed(body["client_assertion"]).claims()["sub"] == body["client_id"] == "a"
    assert sorted(body) == ["client_assertion", "client_assertion_type", "client_id", "grant_type"]
    assert "authorization" not in request.headers
    assert SECRET.encode() not in bytes(request.content)
    assert body["client_assertion"] in request.secrets


async def test_client_id_can_be_left_to_the_assertion() -> None:
    """JA-07."""
    came = await parameters(PrivateKeyJWT("reporter", PEM, send_client_id=False))

    assert sorted(came) == ["client_assertion", "client_assertion_type"]


async def test_every_try_has_an_assertion_of_its_own() -> None:
    """JA-05."""
    client_auth = PrivateKeyJWT("reporter", RSA.as_pem(private=True))
    made = [await parameters(client_auth) for _ in range(3)]

    assertions = [came["client_assertion"] for came in made]
    assert len({read_signed(text).claims()["jti"] for text in assertions}) == 3
    assert len({text.rpartition(".")[2] for text in assertions}) == 3


@pytest.mark.parametrize("name", ["revocation_endpoint", "pushed_authorization_request_endpoint"])
async def test_the_issuer_is_the_audience_at_every_endpoint(name: str) -> None:
    """JA-02, AT-06: also at one that the metadata has on another's host."""
    server = said(**{name: "https://other.example/x"})

    token = await assertion(PrivateKeyJWT("a", PEM), server, "https://other.example/x")

    assert token.claims()["aud"] == "https://auth.example"


async def test_an_older_server_can_have_its_token_endpoint_as_the_audience() -> None:
    """JA-03."""
    endpoint = SERVER.token_endpoint
    for client_auth in (
        PrivateKeyJWT("a", PEM, audience=endpoint),
        ClientSecretJWT("a", SECRET, audience=endpoint),
    ):
        assert (await assertion(client_auth)).claims()["aud"] == endpoint


async def test_without_an_issuer_the_audience_is_never_guessed() -> None:
    """JA-02, JA-03."""
    server = AuthorizationServer("https://auth.example/token")

    with pytest.raises(ConfigurationError, match=r"give AuthorizationServer\(…, issuer=…\), or .*"):
        await parameters(PrivateKeyJWT("a", PEM), server)
    with pytest.raises(ConfigurationError, match=r"ClientSecretJWT\(…, audience=…\)"):
        await parameters(ClientSecretJWT("a", SECRET), server)


@pytest.mark.parametrize("typ", ["JWT", None])
async def test_the_type_is_a_setting(typ: str | None) -> None:
    """JA-04."""
    token = await assertion(PrivateKeyJWT("a", PEM, typ=typ))

    assert token.header.get("typ") == typ
    assert ("typ" in token.header) is (typ is not None)


async def test_the_lifetime_is_a_setting() -> None:
    """JA-06."""
    claims = (await assertion(ClientSecretJWT("a", SECRET, lifetime=10.5))).claims()

    assert claims["exp"] - claims["iat"] == 11
    with pytest.raises(ConfigurationError, match="lifetime=0 must be from 1 to 86400 seconds"):
        PrivateKeyJWT("a", PEM, lifetime=0)
    with pytest.raises(ConfigurationError, match="lifetime=nan must be"):
        ClientSecretJWT("a", SECRET, lifetime=float("nan"))


async def test_a_clock_that_is_wrong_can_be_made_up_for() -> None:
    """JA-06."""
    for client_auth in (
        PrivateKeyJWT("a", PEM, clock_offset=-300),
        ClientSecretJWT("a", SECRET, clock_offset=-300),
    ):
        claims = (await assertion(client_auth)).claims()
        assert (claims["iat"], claims["exp"]) == (1_794_999_700, 1_794_999_760)

    with pytest.raises(ConfigurationError, match="clock_offset=86401 must be from -86400 to 86400"):
        PrivateKeyJWT("a", PEM, clock_offset=86_401)
    with pytest.raises(ConfigurationError, match="clock_offset=nan must be"):
        ClientSecretJWT("a", SECRET, clock_offset=float("nan"))


async def test_the_kid_is_that_of_the_jwk_or_of_the_signer() -> None:
    """JA-14."""
    published = EC.as_dict(private=True, kid="2026-11")

    assert (await assertion(PrivateKeyJWT("a", published))).key_id == "2026-11"
    assert (await assertion(PrivateKeyJWT("a", KeySigner(PEM, key_id="x")))).key_id == "x"
    assert (await assertion(PrivateKeyJWT("a", KeyService()))).key_id == "service-1"
    assert (await assertion(PrivateKeyJWT("a", PEM, key_id="y"))).key_id == "y"
    assert (await assertion(PrivateKeyJWT("a", PEM))).key_id is None


async def test_a_key_service_signs_what_is_sent() -> None:
    service = KeyService()

    came = await parameters(PrivateKeyJWT("a", service))

    signed, _, signature = came["client_assertion"].rpartition(".")
    assert service.asked == [signed.encode()]
    assert urlsafe_b64decode(signature + "==") == b"signature"


LISTS = "token_endpoint_auth_signing_alg_values_supported"


@pytest.mark.parametrize(
    "key,listed,alg",
    [
        (RSA, ("ES256", "PS256"), "PS256"),
        (RSA, ("PS256", "RS256"), "RS256"),
        (OKPKey.generate_key("Ed25519"), ("EdDSA",), "EdDSA"),
        (OKPKey.generate_key("Ed25519"), ("EdDSA", "Ed25519"), "Ed25519"),
    ],
)
async def test_an_algorithm_is_chosen_that_the_server_lists(
    key: Any, listed: tuple[str, ...], alg: str
) -> None:
    """JA-09."""
    server = said(**{LISTS: listed})

    token = await assertion(PrivateKeyJWT("a", key.as_pem(private=True)), server)

    assert token.algorithm == alg
    assert is_signed_by(token, PublicKey(key.as_dict(private=False)))


@pytest.mark.parametrize(
    "client_auth",
    [
        PrivateKeyJWT("a", PEM),
        PrivateKeyJWT("a", RSA.as_pem(private=True), "RS256"),
        PrivateKeyJWT("a", KeyService()),
        ClientSecretJWT("a", SECRET),
    ],
)
async def test_an_algorithm_that_the_server_does_not_list_is_not_sent(
    client_auth: ClientAuth,
) -> None:
    """JA-09."""
    server = said(**{LISTS: ("PS256", "none")})

    with pytest.raises(ConfigurationError, match=rf"PS256, none \({LISTS}\), and this key signs"):
        await parameters(client_auth, server)


@pytest.mark.parametrize("kind", ["revocation", "introspection"])
async def test_an_endpoint_may_have_a_list_of_its_own(kind: str) -> None:
    """JA-09."""
    own: dict[str, Any] = {
        f"{kind}_endpoint": "https://auth.example/own",
        f"{kind}_endpoint_auth_signing_alg_values_supported": ("PS384",),
        "mtls_endpoint_aliases": {f"{kind}_endpoint": "https://mtls.auth.example/own"},
        LISTS: ("PS256",),
    }
    server, client_auth = said(**own), PrivateKeyJWT("a", RSA.as_pem(private=True))

    for endpoint in ("https://auth.example/own", "https://mtls.auth.example/own"):
        assert (await assertion(client_auth, server, endpoint)).algorithm == "PS384"
    assert (await assertion(client_auth, server)).algorithm == "PS256"
    assert (await assertion(client_auth, server, "https://auth.example/par")).algorithm == "PS256"
    own[f"{kind}_endpoint_auth_signing_alg_values_supported"] = None
    bare = said(**own)
    assert (await assertion(client_auth, bare, "https://auth.example/own")).algorithm == "PS256"


async def test_a_certificate_is_named_in_the_header() -> None:
    plain = (await assertion(PrivateKeyJWT("a", PEM, certificate=CERTIFICATE))).header
    whole = PrivateKeyJWT("a", PEM, certificate=CERTIFICATE * 2, send_chain=True)

    assert plain["x5t#S256"] == certificate_thumbprint(CERTIFICATE)
    assert "x5c" not in plain
    assert (await assertion(whole)).header["x5c"] == certificate_chain(CERTIFICATE) * 2
    with pytest.raises(ConfigurationError, match="a certificate is a text in PEM form"):
        PrivateKeyJWT("a", PEM, certificate="MIIB")
    with pytest.raises(ConfigurationError, match="send_chain=True sends the certificates"):
        PrivateKeyJWT("a", PEM, send_chain=True)


@pytest.mark.parametrize("length,alg", [(31, "HS256"), (47, "HS384"), (63, "HS512")])
def test_a_secret_that_is_too_short_is_refused_before_anything_is_asked(
    length: int, alg: str
) -> None:
    """JA-10."""
    with pytest.raises(ConfigurationError, match=f"the secret is too short for {alg}"):
        ClientSecretJWT("a", "s" * length, alg)


@pytest.mark.parametrize("secret", ["", None])
def test_a_client_without_a_secret_signs_nothing_with_one(secret: Any) -> None:
    """JA-11."""
    with pytest.raises(ConfigurationError, match="secret"):
        ClientSecretJWT("public-app", secret)


def test_settings_that_cannot_work_are_refused_at_once() -> None:
    """JA-09."""
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"client_id": ""}, "client_id must be a text that is not empty"),
        ({"audience": ""}, "audience must be a text that is not empty"),
        ({"typ": ""}, "typ must be a text that is not empty"),
        ({"key": PEM.decode()}, r"key= takes bytes or .* Signer with sign\(\), not a str"),
        ({"key": EC.as_pem()}, "no private key that signs"),
        ({"key": OctKey.generate_key(512).as_dict()}, "give it to a ClientSecretJWT"),
        ({"key": KeyService(alg="HS256")}, "give it to a ClientSecretJWT"),
        ({"key": KeyService(alg="none")}, "'none' signs nothing"),
        ({"key": KeyService(), "alg": "RS256"}, "this Signer signs by ES256"),
        ({"key": KeyService(), "key_id": "x"}, "and calls its key 'service-1'; leave them out"),
        ({"key_id": ""}, "the kid of a key is a text that is not empty"),
        ({"alg": "none"}, "alg='none' does not fit a key"),
        ({"alg": "RS256"}, "alg='RS256' does not fit a key"),
    ]
    given: dict[str, Any] = {"client_id": "a", "key": PEM}
    for settings, words in wrong:
        with pytest.raises(ConfigurationError, match=words):
            PrivateKeyJWT(**{**given, **settings})
    with pytest.raises(ConfigurationError, match="alg='none' does not fit a key"):
        ClientSecretJWT("a", SECRET, "none")


async def test_settings_can_be_changed_without_the_key_at_hand() -> None:
    """JA-03."""
    for alg, key_id in ((None, None), ("ES256", "x")):
        by_key = PrivateKeyJWT("a", PEM, alg, key_id=key_id)
        older = attrs.evolve(by_key, audience="https://auth.example/token")

        assert (await assertion(older)).claims()["aud"] == "https://auth.example/token"


def test_nothing_of_key_and_secret_is_printed() -> None:
    """O2-40."""
    by_secret, by_key = ClientSecretJWT("a", SECRET), PrivateKeyJWT("a", PEM)

    assert repr(by_secret) == "ClientSecretJWT(client_id='a', client_secret='***', alg='HS256')"
    assert repr(by_key) == (
        "PrivateKeyJWT(client_id='a', key=<ES256 key>, alg=None, audience=None, key_id=None)"
    )
    assert not isinstance(by_key.key, bytes)


def test_a_key_service_needs_no_jose_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "joserfc", None)

    came = asyncio.run(parameters(PrivateKeyJWT("a", KeyService())))

    assert came["client_assertion"]
    with pytest.raises(ConfigurationError, match=r"ClientSecretJWT needs joserfc.*oauthkit\[jose"):
        ClientSecretJWT("a", SECRET)
    with pytest.raises(ConfigurationError, match="PrivateKeyJWT with a PEM or a JWK needs joserfc"):
        PrivateKeyJWT("a", PEM)
