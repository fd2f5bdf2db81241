"""What the server tells about who has logged in, and how a visit ends there."""

import httpx
import pytest

from oauthkit import (
    AuthorizationRequest,
    ClientSecretBasic,
    LoggedIn,
    LogoutRequest,
    ResponseError,
    complete_login,
    discover,
    fetch_userinfo,
)
from tests.interop.human import Human

from .applications import CALLBACK, SECRET
from .conftest import Toolkit

WEB = ClientSecretBasic("signed-RS256", SECRET)


async def logged_in(http: httpx.AsyncClient, openid: Toolkit, human: Human) -> LoggedIn:
    server = await discover(http, openid.issuer)
    login = AuthorizationRequest.new(
        server, WEB.client_id, redirect_uri=CALLBACK, scope="openid read"
    )
    callback = await human.visit(login.url, until=CALLBACK)
    return await complete_login(http, server, WEB, login, callback)


async def test_claims_are_those_of_who_has_logged_in(
    http: httpx.AsyncClient, openid: Toolkit, human: Human
) -> None:
    """UserInfo: and of another person."""
    result = await logged_in(http, openid, human)
    server = await discover(http, openid.issuer)

    said = await fetch_userinfo(http, server, result.token, subject="1")

    assert said.claims["sub"] == "1"
    with pytest.raises(ResponseError):
        await fetch_userinfo(http, server, result.token, subject="2")


async def test_a_visit_ends_and_the_browser_comes_back(
    http: httpx.AsyncClient, openid: Toolkit, human: Human
) -> None:
    """RP-initiated logout: with a return."""
    result = await logged_in(http, openid, human)
    logout = LogoutRequest.new(
        await discover(http, openid.issuer),
        id_token=result.token.id_token,
        post_logout_redirect_uri=f"{CALLBACK}/out",
    )

    logout.accept(await human.visit(logout.url, until=CALLBACK))

    pages = len(human.pages)
    await logged_in(http, openid, human)
    assert "password" in human.pages[pages]
