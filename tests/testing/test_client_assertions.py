"""The fake server and clients that sign, or have a certificate: whom it lets in, and whom not."""

from collections.abc import Callable
from typing import Any

import attrs
import httpx
import pytest
from joserfc.jwk import ECKey

from oauthkit import (
    Authentication,
    AuthorizationServer,
    ClientAuth,
    ClientCredentials,
    ClientSecretBasic,
    ClientSecretJWT,
    ClientSecretPost,
    Discovered,
    ErrorResponse,
    InvalidClient,
    PrivateKeyJWT,
    PublicClient,
    RefreshToken,
    SelfSignedTLSClientAuth,
    TLSClientAuth,
    Token,
    discover,
    fetch_token,
)
from oauthkit.jose.signing import KeySigner
from oauthkit.protocol.jwt import Signer, sign_jwt
from oauthkit.testing import DocumentedSystems, FakeAuthorizationServer, FakeClock

OLD = KeySigner(ECKey.generate_key("P-256"), key_id="2026-10")
NEW = KeySigner(ECKey.generate_key("P-256"), key_id="2026-11")
SECRET = "a secret of more than 32 bytes, for HS256"
PUBLISHED = {"keys": [NEW.public_jwk]}
NOW = 1_795_000_000.0


async def ask(fake: FakeAuthorizationServer, client_auth: ClientAuth, grant: Any = None) -> Token:
    async with httpx.AsyncClient(transport=fake.transport()) as http:
        server = fake.server
        return await fetch_token(
            http, server, client_auth, grant or ClientCredentials(), clock=fake.clock
        )


WAYS: dict[str, tuple[ClientAuth, dict[str, Any]]] = {
    "client_secret_basic": (ClientSecretBasic("client", SECRET), {"client_secret": SECRET}),
    "client_secret_post": (ClientSecretPost("client", SECRET), {"client_secret": SECRET}),
    "client_secret_jwt": (ClientSecretJWT("client", SECRET), {"client_secret": SECRET}),
    "private_key_jwt": (
        PrivateKeyJWT("client", NEW),
        {"client_secret": None, "client_jwks": PUBLISHED},
    ),
    "none": (PublicClient("client"), {"client_secret": None}),
    "tls_client_auth": (TLSClientAuth("client"), {"client_secret": None}),
    "self_signed_tls_client_auth": (SelfSignedTLSClientAuth("client"), {"client_secret": None}),
}


ALIKE = frozenset({"none", "tls_client_auth", "self_signed_tls_client_auth"})
"""Ways that a server tells apart by the connection, at which the fake does not look."""


@pytest.mark.parametrize("method", WAYS)
async def test_a_client_is_known_in_each_registered_way_and_in_no_other(method: str) -> None:
    """OC-33."""
    for way, (client_auth, settings) in WAYS.items():
        fake = FakeAuthorizationServer(**settings, auth_method=method)
        grant = RefreshToken(refresh_token=fake.issue().refresh_token or "")
        if way == method:
            assert (await ask(fake, client_auth, grant)).access_token
        elif not {way, method} <= ALIKE:
            with pytest.raises(InvalidClient):
                await ask(fake, client_auth, grant)


async def test_what_the_client_has_is_listed_in_the_metadata() -> None:
    lists: list[Any] = []
    settings: dict[str, Any]
    for settings in (
        {},
        {"client_secret": None},
        {"client_jwks": PUBLISHED},
        {"auth_method": "client_secret_jwt"},
    ):
        fake = FakeAuthorizationServer(**settings)
        async with httpx.AsyncClient(transport=fake.transport()) as http:
            server = await discover(http, fake.issuer)
        algorithms = server.token_endpoint_auth_signing_alg_values_supported
        lists.append((server.token_endpoint_auth_methods_supported, "ES256" in (algorithms or ())))

    assert lists == [
        (("client_secret_basic", "client_secret_post"), False),
        (("none",), False),
        (("private_key_jwt", "client_secret_basic", "client_secret_post"), True),
        (("client_secret_jwt",), True),
    ]


async def test_a_session_over_a_found_server_signs_for_each_token() -> None:
    """JA-02, JA-05, on sockets."""
    fake = FakeAuthorizationServer(client_jwks=PUBLISHED, client_secret=None)
    async with (
        fake.serve() as url,
        httpx.AsyncClient(trust_env=False) as http,
        fake.session(
            http=http,
            server=Discovered(url),
            client_auth=PrivateKeyJWT("client", NEW),
            base_url=url,
        ) as session,
    ):
        for _ in range(2):
            assert (await session.get("/report")).status_code == 200
            fake.advance(60)

    assert [request.status_code for request in fake.token_requests] == [200, 200]


@pytest.mark.parametrize(
    "ahead, words", [(301, "301 s ahead of this machine's"), (-301, "301 s behind this machine's")]
)
async def test_a_client_whose_clock_is_wrong_is_told_by_how_much_and_can_make_up_for_it(
    ahead: int, words: str
) -> None:
    """JA-06: on sockets, by the `Date` of the answer."""
    fake = FakeAuthorizationServer(client_jwks=PUBLISHED, clock=FakeClock(NOW + ahead))
    here, grant = FakeClock(NOW), ClientCredentials()
    async with fake.serve() as url, httpx.AsyncClient(trust_env=False) as http:
        server = await discover(http, url)
        with pytest.raises(InvalidClient, match=words) as caught:
            await fetch_token(http, server, PrivateKeyJWT("client", NEW), grant, clock=here)
        assert f"or give clock_offset={ahead}; else look at the public key" in str(caught.value)
        client_auth = PrivateKeyJWT("client", NEW, clock_offset=ahead)
        await fetch_token(http, server, client_auth, grant, clock=here)


async def test_a_lost_answer_is_asked_for_again_by_another_assertion() -> None:
    """JA-05: the first one is spent."""
    fake = FakeAuthorizationServer(client_jwks=PUBLISHED)
    fake.lose_next_answer()

    token = await ask(fake, PrivateKeyJWT("client", NEW))

    assert token.access_token == "access-token-2"
    first, second = (request.parameters["client_assertion"] for request in fake.token_requests)
    assert first != second


async def test_keys_are_changed_without_a_moment_between() -> None:
    """JA-14: the new one is published first, then signed with."""
    fake = FakeAuthorizationServer(client_jwks={"keys": [OLD.public_jwk]})
    await ask(fake, PrivateKeyJWT("client", OLD))
    with pytest.raises(InvalidClient, match="no key of the client has signed"):
        await ask(fake, PrivateKeyJWT("client", NEW))

    fake.client_jwks = {"keys": [OLD.public_jwk, NEW.public_jwk]}
    await ask(fake, PrivateKeyJWT("client", OLD))
    await ask(fake, PrivateKeyJWT("client", NEW))

    fake.client_jwks = PUBLISHED
    with pytest.raises(InvalidClient):
        await ask(fake, PrivateKeyJWT("client", OLD))


@attrs.frozen
class Wrong(ClientAuth):
    """Send what no client of ours would."""

    change: Callable[[dict[str, Any]], object]
    signer: Signer = NEW
    typ: str | None = "client-authentication+jwt"
    parameters: dict[str, str] = attrs.field(factory=dict[str, str])
    headers: dict[str, str] = attrs.field(factory=dict[str, str])
    client_id: str = "client"

    async def authenticate(
        self, server: AuthorizationServer, *, endpoint: str, now: float
    ) -> Authentication:
        claims: dict[str, Any] = {
            "iss": "client",
            "sub": "client",
            "aud": server.issuer,
            "jti": "once",
            "iat": int(now),
            "exp": int(now) + 60,
        }
        self.change(claims)
        kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
        return Authentication(
            parameters={
                "client_assertion_type": kind,
                "client_assertion": await sign_jwt(self.signer, claims, typ=self.typ),
                **self.parameters,
            },
            headers=self.headers,
        )


def nothing(_claims: dict[str, Any]) -> None:
    """Leave an assertion as it should be."""


FAULTS: dict[str, tuple[ClientAuth, str]] = {
    "no JWT": (Wrong(nothing, parameters={"client_assertion": "a.b"}), "cannot be read"),
    "another kind": (
        Wrong(nothing, parameters={"client_assertion_type": "urn:x"}),
        "not the client_assertion_type urn:ietf",
    ),
    "another type": (Wrong(nothing, typ="JWT"), "not the typ client-authentication"),
    "no type": (Wrong(nothing, typ=None), "not the typ client-authentication"),
    "another client beside it": (Wrong(nothing, parameters={"client_id": "b"}), "another subject"),
    "another issuer": (Wrong(lambda c: c.update(iss="b")), "not the client as iss and sub"),
    "another subject": (Wrong(lambda c: c.update(sub="b")), "not the client as iss and sub"),
    "the endpoint as audience": (
        Wrong(lambda c: c.update(aud="https://auth.example/token")),
        "not the issuer as its one aud",
    ),
    "the issuer in a list": (
        Wrong(lambda c: c.update(aud=["https://auth.example"])),
        "not the issuer as its one aud",
    ),
    "no end": (Wrong(lambda c: c.pop("exp")), "no exp within the next 300 seconds"),
    "a late end": (Wrong(lambda c: c.update(exp=c["iat"] + 301)), "no exp within"),
    "an end that was": (Wrong(lambda c: c.update(exp=c["iat"])), "no exp within"),
    "a fraction as its end": (Wrong(lambda c: c.update(exp=c["exp"] + 0.5)), "no exp within"),
    "not begun": (Wrong(lambda c: c.update(iat=c["iat"] + 60)), "no iat that has been"),
    "no beginning": (Wrong(lambda c: c.pop("iat")), "no iat that has been"),
    "no name": (Wrong(lambda c: c.pop("jti")), "no jti"),
    "another key": (Wrong(nothing, signer=OLD), "no key of the client has signed"),
    "a secret that it has not": (
        Wrong(nothing, signer=KeySigner.symmetric(SECRET[::-1])),
        "no key of the client has signed",
    ),
    "an unknown algorithm": (
        Wrong(nothing, signer=KeySigner(ECKey.generate_key("secp256k1"))),
        "no key of the client has signed",
    ),
    "two ways at once": (
        Wrong(nothing, headers={"authorization": "Basic Y2xpZW50OnNlY3JldA=="}),
        "in one way, not in two",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_an_assertion_that_is_wrong_is_refused(fault: str) -> None:
    client_auth, words = FAULTS[fault]
    fake = FakeAuthorizationServer(client_jwks=PUBLISHED, client_secret=SECRET)

    with pytest.raises(ErrorResponse, match=words):
        await ask(fake, client_auth)


async def test_an_assertion_is_good_once() -> None:
    fake = FakeAuthorizationServer(client_jwks=PUBLISHED)
    await ask(fake, Wrong(nothing))

    with pytest.raises(InvalidClient, match="was used before: its jti is known"):
        await ask(fake, Wrong(nothing))


async def test_a_client_without_keys_cannot_sign() -> None:
    fake = FakeAuthorizationServer()

    for client_auth in (PrivateKeyJWT("client", NEW), ClientSecretJWT("client", SECRET)):
        with pytest.raises(InvalidClient, match="no key of the client has signed"):
            await ask(fake, client_auth)


async def test_a_client_with_a_certificate_is_known_by_its_name() -> None:
    """MT-01."""
    for method, kind in WAYS.items():
        if "tls" not in method:
            continue
        fake = FakeAuthorizationServer(auth_method=method, client_secret=None)
        assert fake.client_auth == kind[0]
        assert (await ask(fake, fake.client_auth)).access_token
        with pytest.raises(InvalidClient, match="client authentication failed"):
            await ask(fake, TLSClientAuth("another"))


def test_the_documented_systems_know_of_no_assertion() -> None:
    assert DocumentedSystems().fault_of_assertion({}) == "no client_assertion is taken here"
