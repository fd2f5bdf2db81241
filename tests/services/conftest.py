"""A server that answers what it is told to, and one that checks every request to the letter."""

from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import httpx
import pytest

from oauthkit import (
    AsyncTokenSession,
    AuthorizationServer,
    ClientAuth,
    GrantStrategy,
    OAuthKitError,
    PublicClient,
    Token,
)
from oauthkit.protocol.token_endpoint import parse_token_response
from oauthkit.testing import DocumentedSystems
from tests.asking import token_request

OpenSession = Callable[..., AbstractAsyncContextManager[AsyncTokenSession[httpx.Response]]]
Refused = Callable[[AuthorizationServer, ClientAuth, GrantStrategy], OAuthKitError]


class Wire:
    """Answer with what was prepared, in order, and keep the requests."""

    def __init__(self, *answers: httpx.Response) -> None:
        self._answers = list(answers)
        self.requests: list[httpx.Request] = []

    @asynccontextmanager
    async def session(self, **keywords: Any) -> AsyncGenerator[AsyncTokenSession[httpx.Response]]:
        """Open a session with a token that is good for ever, unless told otherwise."""
        settings: dict[str, Any] = {
            "server": AuthorizationServer("https://auth.example/token"),
            "client_auth": PublicClient("reader"),
            "token": Token("at-hand"),
            **keywords,
        }
        async with (
            httpx.AsyncClient(transport=httpx.MockTransport(self._answer)) as http,
            AsyncTokenSession(http, **settings) as session,
        ):
            yield session

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return self._answers.pop(0)


@pytest.fixture
def wire() -> type[Wire]:
    """Make a server that answers what it is told to."""
    return Wire


@pytest.fixture
def systems() -> DocumentedSystems:
    """Be the five documented systems; a client id and secret show how they are encoded."""
    return DocumentedSystems(client_id="the client", client_secret="p:s/+%")  # a space, a colon


@pytest.fixture
def documented_session(systems: DocumentedSystems) -> OpenSession:
    """Open a session whose every request the documented systems answer, whatever the host."""

    @asynccontextmanager
    async def opened(**keywords: Any) -> AsyncGenerator[AsyncTokenSession[httpx.Response]]:
        async with (
            httpx.AsyncClient(transport=systems.transport()) as http,
            AsyncTokenSession(http, clock=systems.clock, **keywords) as session,
        ):
            yield session

    return opened


@pytest.fixture
def refused(systems: DocumentedSystems) -> Refused:
    """Ask for a token that the documented systems refuse, and return the error."""

    def error_of(
        server: AuthorizationServer, client_auth: ClientAuth, grant: GrantStrategy
    ) -> OAuthKitError:
        request = token_request(server, client_auth, grant)
        with pytest.raises(OAuthKitError) as caught:
            parse_token_response(
                server, systems.answer(request), requested_at=0.0, grant_type=grant.grant_type
            )
        return caught.value

    return error_of
