"""Redirects on real sockets: two servers are two origins."""

from collections.abc import Callable
from types import ModuleType

import httpx
import httpx2
import pytest

from oauthkit.protocol.messages import HTTPRequest, HTTPResponse
from oauthkit.testing import FakeAuthorizationServer, LoopbackServer


@pytest.fixture(params=[httpx, httpx2], ids=["httpx", "httpx2"])
def library(request: pytest.FixtureRequest) -> ModuleType:
    """Send with both HTTP libraries."""
    module: ModuleType = request.param
    return module


def to(location: str, status: int = 302) -> Callable[[httpx.Request], httpx.Response]:
    def api(request: httpx.Request) -> httpx.Response:
        return httpx.Response(status, headers={"location": location})

    return api


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_to_another_origin_loses_the_token(
    library: ModuleType, status: int
) -> None:
    """BT-12, AT-29: and a 401 there is no reason to renew."""
    seen: list[HTTPRequest] = []

    async def elsewhere(request: HTTPRequest) -> HTTPResponse:
        seen.append(request)
        return HTTPResponse(401, {"www-authenticate": 'Bearer error="invalid_token"'})

    fake = FakeAuthorizationServer()
    async with (
        LoopbackServer(elsewhere) as other,
        fake.serve(to(f"{other.url}/landing", status)) as url,
        library.AsyncClient(follow_redirects=True) as http,
        fake.session(http=http, base_url=url) as session,
    ):
        await session.token()
        response = await session.get("/report")
    assert response.status_code == 401
    assert [request.headers.get("authorization") for request in seen] == [None]
    assert len(fake.token_requests) == 1


async def test_a_redirect_within_the_origin_keeps_the_token_and_its_401_renews(
    library: ModuleType,
) -> None:
    fake = FakeAuthorizationServer()
    statuses: list[int] = []

    def api(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/old":
            return httpx.Response(302, headers={"location": "/new"})
        statuses.append(401 if not statuses else 200)
        return httpx.Response(statuses[-1])

    async with (
        fake.serve(api) as url,
        library.AsyncClient(follow_redirects=True) as http,
        fake.session(http=http, base_url=url) as session,
    ):
        await session.token()
        response = await session.get("/old")
    assert response.status_code == 200
    assert all("authorization" in request.headers for request in fake.api_requests)
    assert len(fake.token_requests) == 2


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_the_token_endpoint_is_not_followed_anywhere(
    library: ModuleType, status: int
) -> None:
    """AT-27, AT-28: authlib sends the form with the client secret to the other host."""
    seen: list[HTTPRequest] = []

    async def elsewhere(request: HTTPRequest) -> HTTPResponse:
        seen.append(request)
        return HTTPResponse(200)

    fake = FakeAuthorizationServer()
    async with (
        LoopbackServer(elsewhere) as other,
        fake.serve() as url,
        library.AsyncClient(follow_redirects=True) as http,
        fake.session(http=http, base_url=url) as session,
    ):
        fake.fail_next(status, headers={"location": other.url})
        with pytest.raises(Exception, match="redirect, which is never followed"):
            await session.get("/report")
    assert seen == []
