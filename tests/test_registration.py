"""Registering clients, and looking after them, against a server."""

import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from oauthkit import (
    ClientCredentials,
    ConfigurationError,
    Discovered,
    ErrorResponse,
    InvalidClient,
    RegisteredClient,
    ResponseError,
    TransportError,
    delete_registration,
    fetch_token,
    read_registration,
    register_client,
    update_registration,
)
from oauthkit.testing import FakeAuthorizationServer

METADATA = {"client_name": "Reporter", "redirect_uris": ["https://app.example/callback"]}
JSON = {"content-type": "application/json"}


@asynccontextmanager
async def client(fake: FakeAuthorizationServer) -> AsyncGenerator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=fake.transport()) as http:
        yield http


async def test_a_client_registers_itself_gets_a_token_and_is_looked_after_on_a_real_socket() -> (
    None
):
    """DC-01, DC-11, DC-12, DC-14."""
    fake = FakeAuthorizationServer(initial_access_token="initial")
    async with fake.serve(), httpx.AsyncClient() as http:
        server = fake.server
        made = await register_client(http, server, METADATA, initial_access_token="initial")
        token = await fetch_token(http, server, made.client_auth(), ClientCredentials())
        restored = RegisteredClient.from_dict(made.to_dict())
        changed = {**restored.metadata, "client_name": "Reporter of the Times"}
        updated = await update_registration(http, server, restored, changed)
        with pytest.raises(ResponseError, match="is gone") as caught:
            await read_registration(http, server, made)
        assert await read_registration(http, server, updated) == updated
        await delete_registration(http, server, updated)
        with pytest.raises(ResponseError, match="is gone"):
            await delete_registration(http, server, updated)
        with pytest.raises(InvalidClient):
            await fetch_token(http, server, made.client_auth(), ClientCredentials())
    assert token.client_id == made.client_id
    assert caught.value.status_code == 401
    assert updated.metadata["client_name"] == "Reporter of the Times"
    assert updated.registration_access_token != made.registration_access_token
    assert updated.client_secret == made.client_secret


async def test_a_discovered_server_is_enough() -> None:
    fake = FakeAuthorizationServer()
    async with client(fake) as http:
        made = await register_client(http, Discovered(fake.issuer), METADATA)
    assert made.issuer == fake.issuer
    assert made.differences(METADATA) == {}


async def test_a_server_that_does_not_say_when_a_secret_ends_is_borne_with_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """DC-03."""
    fake = FakeAuthorizationServer()
    content = b'{"client_id":"c","client_secret":"canary"}'
    async with client(fake) as http:
        with caplog.at_level(logging.WARNING, "oauthkit"):
            await register_client(http, fake.server, METADATA)
            assert caplog.messages == []
            fake.fail_next(201, headers=JSON, content=content, endpoint="register")
            made = await register_client(http, fake.server, METADATA)
    assert made.client_secret == "canary"
    (message,) = caplog.messages
    assert "did not say when the secret of the client 'c' ends" in message
    told = vars(caplog.records[-1])
    assert (told["oauth_event"], told["oauth_outcome"]) == ("SecretWithoutEnd", "done")
    assert told["oauth_server"] == fake.issuer
    assert "canary" not in message


async def test_after_a_lost_answer_no_second_client_is_registered() -> None:
    fake = FakeAuthorizationServer()
    fake.lose_next_answer(endpoint="register")
    async with client(fake) as http:
        with pytest.raises(TransportError):
            await register_client(http, fake.server, METADATA)
    assert len(fake.registered) == 1


async def test_the_fake_refuses_as_a_server_does() -> None:
    """DC-06, DC-14, DC-15."""
    fake = FakeAuthorizationServer(initial_access_token="initial")
    fragment = {"redirect_uris": ["https://app.example/#x"]}
    async with client(fake) as http:
        with pytest.raises(ResponseError) as caught:
            await register_client(http, fake.server, METADATA)
        assert caught.value.status_code == 401
        fake.initial_access_token = None
        with pytest.raises(ErrorResponse, match="invalid_redirect_uri"):
            await register_client(http, fake.server, fragment)
        made = await register_client(http, fake.server, {"token_endpoint_auth_method": "none"})
        assert made.client_secret is None
        fake.fail_next(307, headers={"location": "https://evil.example"}, endpoint="register")
        with pytest.raises(ResponseError, match="redirect"):
            await read_registration(http, fake.server, made)
        uri = str(made.registration_client_uri)
        bearer = {"authorization": f"Bearer {made.registration_access_token}"}
        basic = {"authorization": "Basic x y z"}
        secret_end = {"client_id": made.client_id, "client_id_issued_at": 1}
        statuses = [
            (await http.get(f"{fake.issuer}/register")).status_code,
            (await http.post(f"{fake.issuer}/register", content=b"<")).status_code,
            (await http.post(f"{fake.issuer}/register", content=b"[]")).status_code,
            (await http.patch(uri, headers=bearer)).status_code,
            (await http.get(uri, headers=basic)).status_code,
            (await http.get(uri, headers={"authorization": "Basic eDp5"})).status_code,
            (await http.put(uri, headers=bearer, json={})).status_code,
            (await http.put(uri, headers=bearer, json=secret_end)).status_code,
            (await http.post("https://auth.example/elsewhere")).status_code,
        ]
    assert statuses == [405, 400, 400, 405, 401, 401, 400, 400, 401]


async def test_wrong_kinds_are_refused_before_anything_is_sent() -> None:
    fake, wrong = FakeAuthorizationServer(), 7
    any_: Any = wrong
    async with client(fake) as http:
        made = await register_client(http, fake.server, METADATA)
        for call in (
            register_client(http, fake.server, any_),
            register_client(http, fake.server, METADATA, initial_access_token=any_),
            register_client(http, any_, METADATA),
            read_registration(http, fake.server, any_),
            update_registration(http, fake.server, made, any_),
            delete_registration(http, any_, made),
        ):
            with pytest.raises(ConfigurationError):
                await call
    assert len(fake.endpoint_requests["register"]) == 1
