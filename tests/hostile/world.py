"""A client, a browser, and a provider on a real socket that can be made to misbehave."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, Final

import anyio.lowlevel
import attrs
import httpx
import pytest

from oauthkit import (
    AuthorizationRequest,
    AuthorizationServer,
    ClientAuth,
    Discovered,
    InvalidJWT,
    LoggedIn,
    complete_login,
)
from oauthkit.testing import FakeAuthorizationServer
from oauthkit.testing.id_tokens import Draft, Edit

CALLBACK: Final = "https://app.example/callback"


@attrs.define
class Party:
    """A relying party with its provider."""

    fake: FakeAuthorizationServer
    http: httpx.AsyncClient
    browser: httpx.AsyncClient
    server: Discovered

    @property
    def asked(self) -> dict[str, int]:
        """How many requests of the client each endpoint has had; those that had none are not there.

        The authorization endpoint is left out: it is the browser that goes there.
        """
        fake = self.fake
        counted = {name: len(requests) for name, requests in fake.endpoint_requests.items()}
        counted |= {"metadata": len(fake.metadata_requests), "token": len(fake.token_requests)}
        counted |= {"api": len(fake.api_requests)}
        return {name: n for name, n in counted.items() if n and name != "authorize"}

    async def known(self) -> AuthorizationServer:
        """Return the server as its metadata describes it."""
        return await self.server.server(self.http)

    async def begun(self, scope: str = "openid read", **wishes: Any) -> AuthorizationRequest:
        """Begin a login."""
        return AuthorizationRequest.new(
            await self.known(), self.fake.client_id, redirect_uri=CALLBACK, scope=scope, **wishes
        )

    async def visit(self, login: AuthorizationRequest) -> str:
        """Go where the login sends the browser, and return where the provider sends it back."""
        page = await self.browser.get(login.url)
        assert page.status_code == httpx.codes.FOUND, page.text
        return str(page.headers["location"])

    async def log_in(
        self,
        login: AuthorizationRequest | None = None,
        *,
        callback: str | None = None,
        client_auth: ClientAuth | None = None,
        **more: Any,
    ) -> LoggedIn:
        """Log in from the first page to the last."""
        login = login or await self.begun()
        return await complete_login(
            self.http,
            self.server,
            client_auth or self.fake.client_auth,
            login,
            callback or await self.visit(login),
            clock=self.fake.clock,
            **more,
        )

    async def rejects(self, edit: Edit | None, match: str, *, keys: int = 1, **more: Any) -> None:
        """Have an ID Token of a login be made wrong, and see it rejected with nothing after it.

        Args:
            edit: Makes it wrong.
            match: What the error says.
            keys: How many times the keys were fetched for it.
            more: Arguments of `log_in`.
        """
        self.fake.edit_id_token = edit
        with pytest.raises(InvalidJWT, match=match):
            await self.log_in(**more)
        await self.is_silent(metadata=1, token=1, **({"jwks": keys} if keys else {}))

    async def is_silent(self, **asked: int) -> None:
        """See that just these requests came, and that no further one is on its way."""
        for _ in range(10):
            await anyio.lowlevel.checkpoint()
        assert self.asked == asked


def says(**claims: Any) -> Edit:
    """Return what changes claims; `...` leaves one out."""

    def edit(draft: Draft) -> None:
        changed = {**draft.claims, **claims}
        draft.claims = {name: value for name, value in changed.items() if value is not ...}

    return edit


def more_of(name: str) -> Edit:
    """Return what adds a character to a claim, as the suite does."""

    def edit(draft: Draft) -> None:
        draft.claims[name] = f"{draft.claims[name]}1"

    return edit


def damaged(draft: Draft) -> str:
    """Return an ID Token in whose signature one character is another."""
    signed, _, signature = draft.signed().rpartition(".")
    return f"{signed}.{'B' if signature[0] == 'A' else 'A'}{signature[1:]}"


@asynccontextmanager
async def party(algorithm: str = "ES256", **settings: Any) -> AsyncGenerator[Party]:
    """Give a party with a provider on a socket."""
    fake = FakeAuthorizationServer(**settings)
    fake.keys.algorithm = algorithm
    async with (
        fake.serve() as url,
        httpx.AsyncClient() as http,
        httpx.AsyncClient() as browser,
    ):
        yield Party(fake, http, browser, Discovered(url, clock=fake.clock))
