"""What the server tells about who has logged in, and how a visit ends there."""

import httpx
import pytest

from oauthkit import (
    AsyncTokenSession,
    AuthorizationRequest,
    AuthorizationServer,
    ClientSecretBasic,
    ErrorResponse,
    InteractionRequired,
    LoggedIn,
    LogoutRequest,
    MemoryStore,
    ResponseError,
    Token,
    complete_login,
    end_session_url,
    fetch_userinfo,
)
from oauthkit.login import LoginFlow
from tests.interop.human import Human
from tests.login.browsers import KEYS, Browser

from .clients import CALLBACK, SECRET

BASIC = ClientSecretBasic("basic", SECRET)


async def logged_in(http: httpx.AsyncClient, server: AuthorizationServer, human: Human) -> LoggedIn:
    login = AuthorizationRequest.new(server, "basic", redirect_uri=CALLBACK, scope="openid email")
    callback = await human.visit(login.url, until=CALLBACK)
    return await complete_login(http, server, BASIC, login, callback)


async def is_visiting(server: AuthorizationServer, human: Human) -> bool:
    """Tell whether the server still knows who is at the browser."""
    login = AuthorizationRequest.new(
        server, "basic", redirect_uri=CALLBACK, scope="openid email", prompt="none"
    )
    try:
        login.accept(await human.visit(login.url, until=CALLBACK))
    except InteractionRequired:
        return False
    return True


async def test_claims_are_those_of_who_has_logged_in(
    http: httpx.AsyncClient, server: AuthorizationServer, human: Human
) -> None:
    """UserInfo: by GET, by POST, and of another person."""
    token = (await logged_in(http, server, human)).token

    said = await fetch_userinfo(http, server, token, subject="ada")
    posted = await fetch_userinfo(http, server, token, subject="ada", method="POST", in_body=True)

    assert said.claims == posted.claims
    assert said.claims["email"] == "ada@example.com"
    with pytest.raises(ResponseError):
        await fetch_userinfo(http, server, token, subject="bob")


async def test_a_dead_token_tells_nothing(
    http: httpx.AsyncClient, server: AuthorizationServer
) -> None:
    """UserInfo: with a token that nobody knows."""
    with pytest.raises(ErrorResponse) as caught:
        await fetch_userinfo(http, server, Token("unknown"), subject="ada")

    assert caught.value.error == "invalid_token"


async def test_a_visit_ends_and_the_browser_comes_back(
    http: httpx.AsyncClient, server: AuthorizationServer, human: Human
) -> None:
    """RP-initiated logout: with a return."""
    result = await logged_in(http, server, human)
    assert await is_visiting(server, human)
    logout = LogoutRequest.new(
        server,
        id_token=result.token.id_token,
        post_logout_redirect_uri=f"{CALLBACK}/out",
    )

    logout.accept(await human.visit(logout.url, until=CALLBACK))

    assert not await is_visiting(server, human)


async def test_a_visit_ends_on_a_page_of_the_server(
    http: httpx.AsyncClient, server: AuthorizationServer, human: Human
) -> None:
    """RP-initiated logout: without a return."""
    await logged_in(http, server, human)

    assert "Success" in await human.visit(end_session_url(server, client_id="basic"))

    assert not await is_visiting(server, human)


async def test_a_second_login_in_one_browser_is_not_ended_with_the_first(
    http: httpx.AsyncClient, server: AuthorizationServer, human: Human
) -> None:
    """Visitors of an application: who logs in twice, though the server has one right for both."""
    session = AsyncTokenSession(
        http, server=server, client_auth=BASIC, store=MemoryStore(), key="application"
    )
    flow = LoginFlow(session, redirect_path="/callback", scope="openid email", cookie_keys=KEYS)
    browser = Browser(flow)
    for _ in range(2):
        begun = await browser.start("/login")
        callback = await human.visit(str(begun.location), until=CALLBACK)
        assert (await browser.finish(callback)).status == httpx.codes.SEE_OTHER

    visitor = await flow.visitor(browser.request())

    assert visitor is not None
    token = await visitor.session.token()
    assert (await fetch_userinfo(http, server, token, visitor.subject)).subject == "ada"
    await visitor.session.renew()
