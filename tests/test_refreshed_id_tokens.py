"""The ID Token that comes with a refresh: of the same person, or the login is over."""

from typing import Any

import attrs
import pytest

from oauthkit import (
    AuthorizationRequest,
    InvalidJWT,
    MemoryStore,
    ReauthorizationRequired,
    Token,
    complete_login,
)
from oauthkit.testing import FakeAuthorizationServer
from oauthkit.testing.id_tokens import Draft


@pytest.fixture
def fake() -> FakeAuthorizationServer:
    fake = FakeAuthorizationServer()
    fake.keys.algorithm = "ES256"
    return fake


async def logged_in(fake: FakeAuthorizationServer, session: Any) -> Token:
    login = AuthorizationRequest.new(
        fake.server, "client", redirect_uri="https://app.example/callback", scope="openid read"
    )
    result = await complete_login(
        session.http,
        fake.server,
        fake.client_auth,
        login,
        fake.authorize(login.url),
        clock=fake.clock,
    )
    assert result.identity is not None
    return result.token


async def test_an_id_token_of_the_same_person_is_kept(fake: FakeAuthorizationServer) -> None:
    """OC-29."""
    store = MemoryStore()
    async with fake.session(store=store, key="ada", grant=None) as session:
        first = await logged_in(fake, session)
        await store.save("ada", first)
        fake.advance(61)
        renewed = await session.token()

    assert renewed.id_token not in {None, first.id_token}


async def test_a_refresh_without_an_id_token_leaves_the_one_that_was(
    fake: FakeAuthorizationServer,
) -> None:
    """OC-30."""
    store = MemoryStore()
    async with fake.session(store=store, key="ada", grant=None) as session:
        first = await logged_in(fake, session)
        await store.save("ada", first)
        fake.extra = {"id_token": None}
        fake.advance(61)
        renewed = await session.token()

    assert renewed.id_token == first.id_token


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://auth.example1"},
        {"sub": "grace"},
        {"aud": ["client", "another"]},
        {"auth_time": 1},
    ],
    ids=lambda claims: next(iter(claims)),
)
async def test_tokens_that_come_with_another_persons_id_token_are_never_used(
    fake: FakeAuthorizationServer, claims: dict[str, Any]
) -> None:
    """OC-29."""
    store = MemoryStore()

    def edit(draft: Draft) -> None:
        draft.claims.update(claims)

    async with fake.session(store=store, key="ada", grant=None) as session:
        first = await logged_in(fake, session)
        await store.save("ada", first)
        fake.edit_id_token = edit
        fake.advance(61)
        with pytest.raises(
            ReauthorizationRequired, match=f"another {next(iter(claims))}"
        ) as caught:
            await session.token()
        assert isinstance(caught.value.__cause__, InvalidJWT)
        with pytest.raises(ReauthorizationRequired):
            await session.token()
        stored = await store.load("ada")

    assert stored == attrs.evolve(first, refresh_token=None, refresh_expires_at=None)
    assert len([came for came in fake.token_requests if "refresh_token" in came.parameters]) == 1


async def test_what_cannot_be_read_is_not_compared(fake: FakeAuthorizationServer) -> None:
    store = MemoryStore()
    async with fake.session(store=store, key="ada", grant=None) as session:
        first = await logged_in(fake, session)
        await store.save("ada", first)
        fake.edit_id_token = lambda _: "a.b.c.d.e"
        fake.advance(61)
        renewed = await session.token()

    assert renewed.id_token == "a.b.c.d.e"
