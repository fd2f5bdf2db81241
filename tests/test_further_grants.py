"""Exchanged tokens and assertions, against a server."""

import json
from base64 import urlsafe_b64encode
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from joserfc.jwk import ECKey

from oauthkit import (
    AnonymousClient,
    AsyncTokenSession,
    ClientCredentials,
    ErrorResponse,
    GrantStrategy,
    InvalidClient,
    InvalidGrant,
    JWTBearer,
    MemoryStore,
    OAuthKitError,
    ReauthorizationRequired,
    Recovery,
    ResponseError,
    SAML2Bearer,
    Token,
    TokenExchange,
    TransportError,
    fetch_token,
)
from oauthkit.testing import FakeAuthorizationServer

JWK = ECKey.generate_key("P-256", {"kid": "k1"}).as_dict(private=True)
XML = "<saml:Assertion>ada</saml:Assertion>"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"


@asynccontextmanager
async def client(fake: FakeAuthorizationServer) -> AsyncGenerator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=fake.transport()) as http:
        yield http


async def fetched(
    fake: FakeAuthorizationServer, grant: GrantStrategy, client_auth: Any = None
) -> Token:
    async with client(fake) as http:
        return await fetch_token(
            http, fake.server, client_auth or fake.client_auth, grant, clock=fake.clock
        )


async def refused(fake: FakeAuthorizationServer, grant: GrantStrategy) -> ErrorResponse:
    with pytest.raises(ErrorResponse) as caught:
        await fetched(fake, grant)
    return caught.value


def statement(fake: FakeAuthorizationServer, **claims: Any) -> str:
    """Return a JWT that nobody has signed, which the fake does not mind."""
    said = {"iss": "a", "aud": fake.issuer, "exp": int(fake.clock.time()) + 60} | claims
    body = urlsafe_b64encode(json.dumps(said).encode()).rstrip(b"=").decode()
    return f"eyJhbGciOiJFUzI1NiJ9.{body}.c2ln"


async def test_one_session_exchanges_the_token_of_another_on_real_sockets() -> None:
    """TX-01, TX-02: each time with a subject token that is good."""
    fake = FakeAuthorizationServer()
    async with (
        fake.serve(),
        httpx.AsyncClient() as http,
        fake.session(http=http) as inner,
        fake.session(
            http=http,
            grant=TokenExchange(
                subject_token=inner.token,
                subject_token_type="access_token",
                actor_token="somebody-elses",
                actor_token_type="jwt",
                resource=["https://b.example", "https://a.example"],
            ),
        ) as outer,
    ):
        token = await outer.token()
        fake.advance(120)
        assert await outer.token() != token
    subjects = [request.parameters.get("subject_token") for request in fake.token_requests]
    assert subjects == [None, "access-token-1", None, "access-token-3"]
    assert fake.token_requests[1].parameters["resource"] == [
        "https://b.example",
        "https://a.example",
    ]
    assert token.extra["issued_token_type"] == ACCESS_TOKEN


@pytest.mark.parametrize(
    "type_, sent", [("id_token", "the-id"), ("refresh_token", "refresh"), ("jwt", "access")]
)
async def test_of_a_token_the_member_is_sent_that_the_type_names(type_: str, sent: str) -> None:
    fake, token = FakeAuthorizationServer(), Token("access", refresh_token="refresh")
    with_id = Token("access", refresh_token="refresh", id_token="the-id")

    async def supply() -> Token:
        return with_id if type_ == "id_token" else token

    await fetched(fake, TokenExchange(subject_token=supply, subject_token_type=type_))
    assert fake.token_requests[0].parameters["subject_token"] == sent


async def test_a_token_without_that_member_is_a_mistake_that_is_named() -> None:
    fake = FakeAuthorizationServer()

    async def supply() -> Token:
        return Token("access")

    async def nothing() -> Any:
        return None

    async def empty() -> str:
        return ""

    cases: list[tuple[Any, str]] = [
        (supply, "subject_token= is to be the id_token of a token, and the token has none"),
        (nothing, "must return a text or a Token, not None"),
        (empty, "subject_token must be a text that is not empty"),
    ]
    for supplied, told in cases:
        grant = TokenExchange(subject_token=supplied, subject_token_type="id_token")
        with pytest.raises(OAuthKitError, match=told):
            await fetched(fake, grant)
    assert fake.token_requests == []


async def test_a_refresh_token_that_came_with_it_renews_the_exchanged_token_alone() -> None:
    """TX-05."""
    fake, store = FakeAuthorizationServer(extra={"refresh_token": "unknown"}), MemoryStore()
    exchange = TokenExchange(subject_token="theirs", subject_token_type="jwt")
    async with fake.session(grant=exchange, store=store, key="exchanged") as session:
        first = await session.token()
        assert first.refresh_token == "unknown"
        fake.extra = {}
        fake.advance(61)
        second = await session.token()
    kinds = [str(r.parameters["grant_type"]).rpartition(":")[2] for r in fake.token_requests]
    assert kinds == ["token-exchange", "refresh_token", "token-exchange"]
    assert second.refresh_token is None


async def test_a_token_that_is_no_access_token_is_handed_on_and_sent_to_no_api() -> None:
    """TX-04, TX-07."""
    fake = FakeAuthorizationServer()
    exchange = TokenExchange(
        subject_token="theirs", subject_token_type="id_token", requested_token_type="id-jag"
    )
    async with fake.session(grant=exchange) as session:
        assert (await session.token()).token_type == "N_A"
        with pytest.raises(ResponseError, match="is no access token"):
            await session.get("/orders")
    assert fake.api_requests == []


async def test_the_fake_refuses_an_exchange_as_a_server_does() -> None:
    """TX-06."""
    fake = FakeAuthorizationServer(allowed_scope="read")
    dead = fake.issue()
    fake.revoke(dead)

    def exchange(subject: str, **members: Any) -> TokenExchange:
        return TokenExchange(subject_token=subject, subject_token_type="access_token", **members)

    refusal = await refused(fake, exchange(dead.access_token))
    assert (refusal.error, refusal.recovery) == ("invalid_request", Recovery.CHANGE_REQUEST)
    assert (await refused(fake, exchange("x", scope="write"))).error == "invalid_scope"
    half = {"actor_token": "a"}
    assert (await refused(fake, exchange("x", additional=half))).error == "invalid_request"
    assert (await refused(fake, _Bare())).error == "invalid_request"
    with pytest.raises(InvalidClient):
        await fetched(fake, exchange("x"), AnonymousClient())


class _Bare(ClientCredentials):
    grant_type = TokenExchange.grant_type


async def test_a_service_account_signs_for_each_token_on_a_real_socket() -> None:
    """JA-12: without client authentication."""
    fake = FakeAuthorizationServer()
    async with fake.serve() as url, httpx.AsyncClient() as http:
        grant = JWTBearer(key=JWK, issuer="reporter", audience=f"{url}/token", scope="read")
        async with AsyncTokenSession(
            http, server=fake.server, client_auth=AnonymousClient(), grant=grant, base_url=url
        ) as session:
            assert (await session.get("/report")).status_code == 200
            fake.advance(120)
            assert (await session.get("/report")).status_code == 200
            assert (await session.token()).client_id == ""
    assertions = [request.parameters["assertion"] for request in fake.token_requests]
    assert len({*assertions}) == 2
    assert "client_id" not in fake.token_requests[0].parameters


async def test_a_lost_answer_costs_a_new_assertion() -> None:
    """JA-13: the server takes none twice."""
    fake = FakeAuthorizationServer()
    fake.lose_next_answer()
    await fetched(fake, JWTBearer(key=JWK, issuer="reporter"))
    assert [request.status_code for request in fake.token_requests] == [200, 200]


async def test_a_refused_assertion_is_typed_and_not_presented_again() -> None:
    """JA-13."""
    fake = FakeAuthorizationServer()
    grant = JWTBearer(assertion=statement(fake, exp=1))
    async with fake.session(grant=grant) as session:
        with pytest.raises(InvalidGrant) as caught:
            await session.token()
        assert caught.value.recovery is Recovery.REAUTHORIZE
        fake.advance(3600)
        with pytest.raises(OAuthKitError):
            await session.token()
    assert len(fake.token_requests) == 1


async def test_an_assertion_that_was_given_is_spent_by_its_token() -> None:
    """JA-13."""
    fake = FakeAuthorizationServer(expires_in=60)
    async with fake.session(grant=JWTBearer(assertion=statement(fake))) as session:
        await session.token()
        fake.advance(61)
        with pytest.raises(ReauthorizationRequired):
            await session.token()
    assert len(fake.token_requests) == 1


async def test_on_behalf_of_whoever_calls() -> None:
    fake = FakeAuthorizationServer()
    callers = fake.issue().access_token
    assert (await fetched(fake, JWTBearer(assertion=callers))).access_token
    fake.revoke(callers)
    assert (await refused(fake, JWTBearer(assertion=callers))).error == "invalid_grant"


async def test_a_saml_assertion_is_a_right() -> None:
    """JA-15."""
    fake = FakeAuthorizationServer()
    token = await fetched(fake, SAML2Bearer(assertion=XML, scope="read"), AnonymousClient())
    assert token.scope == "read"
    assert (await refused(fake, SAML2Bearer(assertion=XML))).error == "invalid_grant"


async def test_the_fake_refuses_what_is_no_assertion_for_it() -> None:
    fake = FakeAuthorizationServer()
    refusals = [
        statement(fake, iss=None),
        statement(fake, aud="https://other.example"),
        statement(fake, exp="soon"),
        "no-jwt",
        "a.b.c",
        "a.W10.c",
    ]
    for assertion in refusals:
        assert (await refused(fake, JWTBearer(assertion=assertion))).error == "invalid_grant"


async def test_the_fake_refuses_a_document_in_another_encoding() -> None:
    fake = FakeAuthorizationServer()

    class Unencoded(SAML2Bearer):
        def parameters(self) -> dict[str, Any]:
            return {"assertion": "é"}

    assert (await refused(fake, Unencoded(assertion=XML))).error == "invalid_grant"


async def test_a_subject_session_that_is_logged_out_says_who_must_log_in() -> None:
    """And nothing is sent in the meantime."""
    fake, subjects = FakeAuthorizationServer(), FakeAuthorizationServer()
    async with (
        subjects.session(grant=None) as inner,
        fake.session(
            grant=TokenExchange(subject_token=inner.token, subject_token_type="access_token")
        ) as outer,
    ):
        with pytest.raises(TransportError, match="nothing is left to renew") as caught:
            await outer.get("/orders")
    assert caught.value.recovery is Recovery.REAUTHORIZE
    assert fake.token_requests == []
