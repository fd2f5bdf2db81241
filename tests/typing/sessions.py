"""What a type checker knows about a session; checked, never run."""

from typing import assert_type

import httpx
import httpx2

from oauthkit import (
    AsyncTokenSession,
    AuthorizationServer,
    ClientCredentials,
    ClientSecretBasic,
    PublicClient,
    RefreshToken,
    RenewalPolicy,
    Token,
    fetch_token,
)

SERVER = AuthorizationServer("https://auth.example/token")
CLIENT = ClientSecretBasic("reporter", "s3cret")


async def a_session_of_its_own_answers_with_httpx() -> None:
    async with AsyncTokenSession(server=SERVER, client_auth=CLIENT) as session:
        assert_type(session, AsyncTokenSession[httpx.Response])
        assert_type(await session.get("/report"), httpx.Response)
        assert_type(session.auth, httpx.Auth)


async def a_session_answers_with_its_clients_responses(
    http: httpx.AsyncClient, http2: httpx2.AsyncClient
) -> None:
    first = AsyncTokenSession(http, server=SERVER, client_auth=CLIENT)
    second = AsyncTokenSession(http2, server=SERVER, client_auth=CLIENT)

    assert_type(await first.request("GET", "/report"), httpx.Response)
    assert_type(await second.request("GET", "/report"), httpx2.Response)
    assert_type(await second.post("/report", json={"pages": 3}), httpx2.Response)
    async with second.stream("GET", "/report") as streamed:
        assert_type(streamed, httpx2.Response)


async def a_view_for_a_key_is_a_session_too(session: AsyncTokenSession[httpx2.Response]) -> None:
    view = session.for_key("ada", grant=RefreshToken(refresh_token="from-the-login"))

    assert_type(view, AsyncTokenSession[httpx2.Response])
    assert_type(await view.token(), Token)
    assert_type(await view.renew(), Token)


async def a_token_is_fetched_over_either_library(
    http: httpx.AsyncClient, http2: httpx2.AsyncClient
) -> None:
    assert_type(await fetch_token(http, SERVER, CLIENT, ClientCredentials()), Token)
    assert_type(await fetch_token(http2, SERVER, CLIENT, ClientCredentials()), Token)


def a_synchronous_client_is_no_client(http: httpx.Client) -> None:
    AsyncTokenSession(http, server=SERVER, client_auth=CLIENT)  # type: ignore[arg-type]


def server_and_client_authentication_are_needed() -> None:
    AsyncTokenSession()  # type: ignore[call-arg]
    AsyncTokenSession(server=SERVER)  # type: ignore[call-arg]


def settings_are_keywords() -> None:
    AsyncTokenSession(None, SERVER, CLIENT)  # type: ignore[call-arg]
    RenewalPolicy(60.0)  # type: ignore[call-arg]
    ClientCredentials("read")  # type: ignore[arg-type, call-arg]


def a_url_is_no_authorization_server() -> None:
    AsyncTokenSession(
        server="https://auth.example/token",  # type: ignore[arg-type]
        client_auth=PublicClient("reader"),
    )


async def an_unknown_option_of_a_request_is_found(
    session: AsyncTokenSession[httpx.Response],
) -> None:
    await session.get("/report", param={"page": "3"})  # type: ignore[call-arg]


def values_do_not_change(token: Token, server: AuthorizationServer) -> None:
    token.access_token = "another"  # type: ignore[misc]
    server.token_endpoint = "https://other.example"  # type: ignore[misc]
