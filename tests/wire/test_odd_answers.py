"""What an API answers that is no HTTP: the caller catches the errors of the HTTP library."""

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import httpx
import pytest
from httpx_aiohttp import AiohttpTransport

from oauthkit import ConfigurationError, Token
from oauthkit.testing import FakeAuthorizationServer
from tests.wire.test_on_the_way import (
    HEAD_OF_302,
    ODD,
    WAYS,
    Peer,
    Way,
    check_that_no_secret_shows,
    listening,
)

CANARY = "canary-YWNjZXNz"


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest, anyio_backend_name: str) -> Way:
    """Send each way, as far as it knows the event loop."""
    if request.param == "aiohttp" and anyio_backend_name != "asyncio":
        pytest.skip("aiohttp is for asyncio alone")
    return WAYS[request.param]


async def get(session: Any, url: str, **options: Any) -> Any:
    return await session.get(url, **options)


async def stream(session: Any, url: str, **options: Any) -> Any:
    async with session.stream("GET", url, **options) as response:
        await response.aread()
        return response


Ask = Callable[..., Awaitable[Any]]
ASKING = pytest.mark.parametrize("ask", [get, stream])


async def error_of(client: Any, base: str, ask: Ask, url: str, **options: Any) -> Exception | None:
    """Return the error of a call with a token that is fresh."""
    fake = FakeAuthorizationServer()
    token = Token(CANARY, expires_at=fake.clock.time() + 999)
    async with fake.session(http=client, base_url=base, token=token, grant=None) as session:
        try:
            with anyio.fail_after(10):
                await ask(session, url, **options)
        except Exception as error:  # noqa: BLE001 - any
            return error
    return None


@pytest.mark.filterwarnings(  # httpx leaves the inner generators of an answer to trio's collector
    "ignore:Exception ignored .*async_generator:pytest.PytestUnraisableExceptionWarning"
)
@ASKING
@pytest.mark.parametrize("name", ODD)
async def test_an_odd_answer_is_read_or_is_an_error_of_the_http_library(
    way: Way, name: str, ask: Ask
) -> None:
    peer = Peer(answer=ODD[name])
    settings = {"timeout": 2} if way.traced else {}
    async with listening(peer) as url, way.client(**settings) as http:
        error = await error_of(http, url, ask, url, follow_redirects=True)
    assert CANARY.encode() in peer.received
    if error is not None:
        assert isinstance(error, way.library.HTTPError)
        assert getattr(error, "request").method == "GET"  # noqa: B009 - the libraries' own
        check_that_no_secret_shows(error, CANARY)


@ASKING
async def test_a_request_that_cannot_be_written_shows_no_token(way: Way, ask: Ask) -> None:
    """The frames of h11 would, which has all headers together then."""
    async with listening(Peer()) as url, way.client() as http:
        error = await error_of(http, url, ask, url, headers={"x": "a\r\nb"})
    assert error is not None
    check_that_no_secret_shows(error, CANARY)


@ASKING
async def test_a_redirect_with_credentials_in_it_is_followed_or_told_as_the_library_would(
    way: Way, ask: Ask
) -> None:
    """Those of aiohttp refuse them beside the token, by an error of Python's own."""
    peer = Peer()
    async with listening(peer) as url, way.client() as http:
        place = url.replace("//", "//user:password@")
        peer.answer = HEAD_OF_302 + f"{place}\r\ncontent-length: 0\r\n\r\n".encode()
        error = await error_of(http, url, ask, url, follow_redirects=True)
    assert error is not None
    assert isinstance(error, way.library.HTTPError)
    check_that_no_secret_shows(error, CANARY)


@ASKING
@pytest.mark.parametrize("url", ["https://xn--a/", "https://xn--a.example/x"])
async def test_a_url_of_ones_own_that_cannot_be_read_is_told_as_that(
    way: Way, ask: Ask, url: str
) -> None:
    async with way.client() as http:
        error = await error_of(http, "https://api.example", ask, url)
    assert isinstance(error, way.library.InvalidURL | ConfigurationError)


@ASKING
async def test_what_is_the_callers_own_stays_what_it_is(way: Way, ask: Ask) -> None:
    """It may come from a hook, or from a body that is made on the way."""

    async def body() -> Any:
        yield b"x"
        raise ZeroDivisionError

    async with listening(Peer(answer=ODD["nothing"])) as url, way.client() as http:
        error = await error_of(http, url, ask, url, content=body())
    if isinstance(error, httpx.HTTPError):  # aiohttp calls it its own
        assert not way.traced
    else:
        assert isinstance(error, ZeroDivisionError)


class UnshownError(Exception):
    """Be an error of anybody's class, which cannot be shown, and is no group either."""

    exceptions = None

    def __str__(self) -> str:
        raise NotImplementedError


@ASKING
async def test_an_error_of_a_callers_own_class_is_raised_whatever_it_is_like(
    way: Way, ask: Ask
) -> None:
    async def hook(_: object) -> None:
        raise UnshownError

    async with listening(Peer(answer=ODD["nothing"])) as url, way.client() as http:
        http.event_hooks = {"request": [hook]}
        error = await error_of(http, url, ask, url)
    assert type(error) is UnshownError


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_what_is_raised_while_an_answer_is_read_is_the_callers_own() -> None:
    import aiohttp

    fake = FakeAuthorizationServer()
    async with (
        fake.serve() as url,
        httpx.AsyncClient(transport=AiohttpTransport()) as http,
        fake.session(http=http, base_url=url) as session,
    ):
        with pytest.raises(aiohttp.ClientError) as caught:
            async with session.stream("GET", "/report"):
                raise aiohttp.ClientError
    assert type(caught.value) is aiohttp.ClientError
