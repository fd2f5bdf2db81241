"""What a login may ask for beyond who it is."""

import time
from typing import Any

import httpx
import pytest

from oauthkit import (
    AsyncTokenSession,
    AuthorizationRequest,
    AuthorizationServer,
    ClientSecretBasic,
    Identity,
    InteractionRequired,
    complete_login,
    fetch_token,
)
from tests.interop.human import Human

from .clients import CALLBACK, SECRET
from .conftest import OIDCProvider

BASIC = ClientSecretBasic("basic", SECRET)


def begun(server: AuthorizationServer, **wishes: Any) -> AuthorizationRequest:
    wishes = {"scope": "openid"} | wishes
    return AuthorizationRequest.new(
        server, "basic", redirect_uri=CALLBACK, now=time.time(), **wishes
    )


async def who(
    http: httpx.AsyncClient, server: AuthorizationServer, human: Human, **wishes: Any
) -> Identity:
    """Return who has logged in by such a login."""
    login = begun(server, **wishes)
    callback = await human.visit(login.url, until=CALLBACK)
    identity = (await complete_login(http, server, BASIC, login, callback)).identity
    assert identity is not None
    return identity


async def test_a_login_without_a_page_needs_a_visit_that_is_going_on(
    http: httpx.AsyncClient, server: AuthorizationServer, human: Human
) -> None:
    """Wishes of a login, such as `prompt`: `none`."""
    login = begun(server, prompt="none")
    callback = await human.visit(login.url, until=CALLBACK)
    with pytest.raises(InteractionRequired, match="login_required"):
        login.accept(callback)

    before = await who(http, server, human)
    pages = len(human.pages)
    again = await who(http, server, human, prompt="none")

    assert len(human.pages) == pages
    assert again.subject == before.subject


async def test_a_person_authenticates_anew_where_that_is_asked_for(
    http: httpx.AsyncClient, server: AuthorizationServer, human: Human
) -> None:
    """Wishes of a login, such as `prompt`: `max_age`, `prompt=login`."""
    await who(http, server, human)
    for wish in ({"max_age": 0}, {"prompt": "login", "max_age": 60}):
        pages = len(human.pages)

        identity = await who(http, server, human, **wish)

        assert len(human.pages) > pages
        assert identity.auth_time is not None
        assert time.time() - identity.auth_time < 30


async def test_who_is_expected_stands_in_the_form(
    http: httpx.AsyncClient, server: AuthorizationServer, human: Human
) -> None:
    """Wishes of a login, such as `prompt`: `login_hint`, `id_token_hint`."""
    await who(http, server, human, login_hint="ada@example.com")
    assert 'value="ada@example.com"' in human.pages[0]

    login = begun(server)
    callback = await human.visit(login.url, until=CALLBACK)
    result = await complete_login(http, server, BASIC, login, callback)
    hint = result.token.id_token

    assert (await who(http, server, human, id_token_hint=hint, prompt="none")).subject == "ada"
    async with Human({"login": "bob", "password": "b"}) as bob:
        await who(http, server, bob)
        other = begun(server, id_token_hint=hint, prompt="none")
        with pytest.raises(InteractionRequired):
            other.accept(await bob.visit(other.url, until=CALLBACK))


async def test_claims_are_asked_for_one_by_one(
    http: httpx.AsyncClient, server: AuthorizationServer, human: Human
) -> None:
    """Wishes of a login, such as `prompt`: `claims`."""
    assert "email" not in (await who(http, server, human)).claims

    identity = await who(http, server, human, claims={"id_token": {"email": {"essential": True}}})

    assert identity.claims["email"] == "ada@example.com"


async def test_the_callback_is_posted_where_that_is_asked_for(
    http: httpx.AsyncClient, server: AuthorizationServer, human: Human
) -> None:
    """Wishes of a login, such as `prompt`: `response_mode=form_post`."""
    assert (await who(http, server, human, response_mode="form_post")).subject == "ada"


async def test_a_token_is_for_the_resource_that_was_asked_for(
    http: httpx.AsyncClient, server: AuthorizationServer, human: Human, oidc_provider: OIDCProvider
) -> None:
    """Wishes of a login, such as `prompt`: `resource`, also in the refreshes that follow."""
    login = begun(server, scope="read", resource="urn:interop:orders")
    callback = await human.visit(login.url, until=CALLBACK)
    token = await fetch_token(http, server, BASIC, login.accept(callback))
    session = AsyncTokenSession(
        http, server=server, client_auth=BASIC, token=token, base_url=oidc_provider.issuer
    )

    assert (await session.get("/api")).json()["aud"] == "urn:interop:orders"
    await session.renew()
    assert (await session.get("/api")).json()["aud"] == "urn:interop:orders"
