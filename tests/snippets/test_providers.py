"""The programs of docs/providers.md, against fakes that behave as the providers do."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from oauthkit import AsyncTokenSession, ReauthorizationRequired, Token

from .pages import Block, blocks
from .providers import PROVIDERS, Auth0, GitHub, Google, Microsoft, Provider
from .world import World

LOGINS = [b for b in blocks() if b.page.name == "providers.md" and "AuthorizationRequest" in b.text]


def test_each_provider_has_a_login() -> None:
    assert len(LOGINS) == len(PROVIDERS)


@pytest.mark.parametrize("block", LOGINS, ids=str)
def test_a_program_logs_in_calls_the_api_and_renews_once(
    block: Block, world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    provider = world.provide(block.text)

    block.run(tmp_path)

    assert provider.refreshes == 1
    assert "ada" in capsys.readouterr().out.lower()


@pytest.mark.parametrize("block", LOGINS, ids=str)
def test_a_dead_refresh_token_is_understood(block: Block, world: World, tmp_path: Path) -> None:
    """Whatever status and words the provider has for it."""
    provider = world.provide(block.text)
    names = block.run(tmp_path)
    (server,) = [
        value for name, value in names.items() if name.isupper() and hasattr(value, "issuer")
    ]
    provider.forget()

    async def use() -> None:
        token = Token("stale", refresh_token="a-dead-one", expires_at=0.0)
        async with AsyncTokenSession(
            server=server, client_auth=names["client_auth"], token=token
        ) as session:
            await session.token()

    with pytest.raises(ReauthorizationRequired):
        asyncio.run(use())


def ran(kind: type[Provider], world: World, directory: Path) -> tuple[Provider, dict[str, Any]]:
    (block,) = [b for b in LOGINS if kind().host in b.text]
    provider = world.provide(block.text)
    return provider, block.run(directory)


def test_google_is_asked_for_offline_access(world: World, tmp_path: Path) -> None:
    """Without the two words in the URL there would be no refresh token, and no renewal."""
    google, names = ran(Google, world, tmp_path)

    assert "access_type=offline&prompt=consent" in names["login"].url
    assert [fields["grant_type"] for fields in google.requests] == [
        "authorization_code",
        "refresh_token",
    ]


def test_microsoft_leaves_offline_access_out_of_its_answer(world: World, tmp_path: Path) -> None:
    """And the refresh is no narrower for it."""
    microsoft, _ = ran(Microsoft, world, tmp_path)

    assert "scope" not in microsoft.requests[1]


def test_githubs_commas_are_kept_as_they_came(world: World, tmp_path: Path) -> None:
    """A refresh asks for no scope, so nothing comes of them."""
    github, _ = ran(GitHub, world, tmp_path)

    assert "scope" not in github.requests[1]


def test_auth0_is_told_the_audience_at_the_login_alone(world: World, tmp_path: Path) -> None:
    auth0, names = ran(Auth0, world, tmp_path)

    assert "audience=https%3A%2F%2Fapi.acme.example%2F" in names["login"].url
    assert all("audience" not in fields for fields in auth0.requests)
