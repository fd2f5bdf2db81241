"""The port that waits for the end of a login: what it takes, what it refuses, when it closes."""

import errno
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from html.parser import HTMLParser
from urllib.parse import urlsplit

import anyio
import anyio.lowlevel
import attrs
import httpx
import pytest

from oauthkit import AuthorizationRequest, AuthorizationServer, ConfigurationError
from oauthkit.cli import loopback as module
from oauthkit.cli.callback_page import failure, success
from oauthkit.cli.loopback import Arrival, Loopback, open_loopback
from oauthkit.protocol.messages import Origin

SERVER = AuthorizationServer(
    "https://auth.example/token", authorization_endpoint="https://auth.example/authorize"
)
ANYWHERE = "http://127.0.0.1/callback/work"


def begun(redirect_uri: str) -> AuthorizationRequest:
    return AuthorizationRequest.new(SERVER, "app", redirect_uri=redirect_uri)


@attrs.define
class Waiting:
    """A port that waits for a login, and who comes to it."""

    port: Loopback
    login: AuthorizationRequest
    http: httpx.AsyncClient
    arrivals: list[Arrival] = attrs.field(factory=list[Arrival])

    @property
    def callback(self) -> str:
        return f"{self.port.redirect_uri}?code=c-1&state={self.login.state}"

    @property
    def address(self) -> tuple[str, int]:
        parts = urlsplit(self.port.redirect_uri)
        return str(parts.hostname), int(parts.port or 0)

    async def come_back(self) -> httpx.Response:
        return await self.http.get(self.callback)

    async def sent(self, content: bytes) -> bytes:
        """Return all that comes back for these bytes."""
        answer = b""
        async with await anyio.connect_tcp(*self.address) as stream:
            await stream.send(content)
            while True:
                try:
                    answer += await stream.receive()
                except (anyio.EndOfStream, anyio.BrokenResourceError):
                    return answer


@asynccontextmanager
async def waiting(*redirect_uris: str) -> AsyncGenerator[Waiting]:
    """Let a port wait; whoever arrives is answered with the page of success."""
    async with (
        open_loopback(*(redirect_uris or (ANYWHERE,))) as port,
        httpx.AsyncClient() as http,
        anyio.create_task_group() as tasks,
    ):
        found = Waiting(port, begun(port.redirect_uri), http)

        async def arrive() -> None:
            found.arrivals.append(await port.arrival())
            await found.arrivals[0].answer(success())

        port.expect(found.login)
        tasks.start_soon(arrive)
        yield found
        tasks.cancel_scope.cancel()


def is_closed(redirect_uri: str) -> bool:
    parts = urlsplit(redirect_uri)
    with socket.socket() as probe:
        return probe.connect_ex((str(parts.hostname), int(parts.port or 0))) != 0


async def test_the_callback_arrives_at_the_very_address_that_was_bound() -> None:
    """NA-03."""
    async with waiting() as found:
        host, port = found.address
        assert host == "127.0.0.1"
        assert port > 0
        assert found.login.redirect_uri == f"http://127.0.0.1:{port}/callback/work"

        response = await found.come_back()

        assert response.status_code == 200
        assert found.arrivals[0].callback == found.callback
        assert "c-1" not in repr(found.arrivals[0])


async def test_a_registered_port_is_used_twice_in_a_row() -> None:
    """NA-03: nothing of the first login holds it, for the browser closes the connection first."""
    async with waiting() as found:
        uri = found.port.redirect_uri
        await found.come_back()
    async with waiting(uri) as found:
        assert found.port.redirect_uri == uri
        assert (await found.come_back()).status_code == 200


async def test_where_there_is_no_ipv4_the_other_address_is_bound() -> None:
    """NA-07."""
    unknown = "http://[::1]/callback"
    async with waiting(unknown, ANYWHERE) if not _has_ipv6() else waiting(unknown) as found:
        assert (await found.come_back()).status_code == 200


def _has_ipv6() -> bool:
    with socket.socket(socket.AF_INET6) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            return False
    return True


@pytest.mark.parametrize("number", [errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT])
async def test_an_address_that_the_machine_has_not_is_passed_over(
    monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """NA-07."""
    bound = module._bound

    def only_ipv4(origin: Origin) -> socket.socket:
        if origin.host == "::1":
            raise OSError(number, "no such address")
        return bound(origin)

    monkeypatch.setattr(module, "_bound", only_ipv4)
    async with waiting("http://[::1]/callback", ANYWHERE) as found:
        assert found.address[0] == "127.0.0.1"
    with pytest.raises(OSError, match="no such address"):
        async with waiting("http://[::1]/callback"):
            pass


async def test_a_port_that_somebody_holds_is_an_error_and_is_not_shared() -> None:
    """NA-08, AT-22: also where the other one would share it."""
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "SO_REUSEPORT"):
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        uri = f"http://127.0.0.1:{other.getsockname()[1]}/callback"
        with pytest.raises(OSError, match="in use"):
            async with open_loopback(uri, ANYWHERE):
                pass


async def test_nobody_can_listen_at_the_port_beside_us(monkeypatch: pytest.MonkeyPatch) -> None:
    """NA-08, AT-22: no option is set by which ports are shared, and Windows is told so."""
    monkeypatch.setattr(socket, "SO_EXCLUSIVEADDRUSE", socket.SO_KEEPALIVE, raising=False)
    made: list[socket.socket] = []
    bound = module._bound

    def remembered(origin: Origin) -> socket.socket:
        made.append(bound(origin))
        return made[0]

    monkeypatch.setattr(module, "_bound", remembered)

    async with open_loopback(ANYWHERE) as port:
        options = [
            made[0].getsockopt(socket.SOL_SOCKET, option)
            for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT, socket.SO_KEEPALIVE)
        ]
        assert options == [0, 0, 1]
        with socket.socket() as other:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            with pytest.raises(OSError, match="in use"):
                other.bind(("127.0.0.1", int(urlsplit(port.redirect_uri).port or 0)))


async def fail_within(uris: list[str]) -> None:
    async with open_loopback(ANYWHERE) as port:
        uris.append(port.redirect_uri)
        message = "it failed"
        raise OSError(message)


async def test_the_port_is_closed_however_the_login_ends() -> None:
    """NA-04: done, failed, out of time or cancelled."""
    uris: list[str] = []
    async with waiting() as found:
        uris.append(found.port.redirect_uri)
        await found.come_back()
    with pytest.raises(OSError, match="it failed"):
        await fail_within(uris)
    with anyio.move_on_after(0.05):
        async with open_loopback(ANYWHERE) as port:
            uris.append(port.redirect_uri)
            await port.arrival()
    async with anyio.create_task_group() as tasks:

        async def wait() -> None:
            async with open_loopback(ANYWHERE) as port:
                uris.append(port.redirect_uri)
                await port.arrival()

        tasks.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()

    assert len(uris) == 4
    assert [uri for uri in uris if not is_closed(uri)] == []


@pytest.mark.parametrize(
    "method, path, headers, status",
    [
        ("GET", "/callback/other?code=x&state={state}", {}, 404),
        ("GET", "/callback/work/?code=x&state={state}", {}, 404),
        ("GET", "/favicon.ico", {"sec-fetch-mode": "no-cors"}, 404),
        ("GET", "/callback/work?code=x&state=guessed", {}, 400),
        ("GET", "/callback/work?code=x", {}, 400),
        ("GET", "/callback/work?code=x&state={state}&state=guessed", {}, 400),
        ("POST", "/callback/work?code=x&state={state}", {}, 405),
        ("HEAD", "/callback/work?code=x&state={state}", {}, 405),
        ("OPTIONS", "/callback/work?state={state}", {"origin": "https://evil.example"}, 405),
        ("GET", "/callback/work?state={state}", {"origin": "https://evil.example"}, 403),
        ("GET", "/callback/work?state={state}", {"sec-fetch-mode": "cors"}, 403),
        ("GET", "/callback/work?state={state}", {"sec-purpose": "prefetch;prerender"}, 403),
        ("GET", "/callback/work?state={state}", {"purpose": "prefetch"}, 403),
        ("GET", "/callback/work?state={state}", {"host": "evil.example"}, 421),
        ("GET", "/callback/work?state={state}", {"host": "localhost:{port}"}, 421),
        ("GET", "/callback/work?state={state}", {"host": "127.0.0.1"}, 421),
    ],
)
async def test_what_is_not_the_callback_is_refused_and_the_login_goes_on(
    method: str, path: str, headers: dict[str, str], status: int
) -> None:
    """NA-05, NA-11, NA-12, AT-23."""
    async with waiting() as found:
        origin = "http://{}:{}".format(*found.address)
        url = origin + path.format(state=found.login.state)
        headers = {name: text.format(port=found.address[1]) for name, text in headers.items()}

        response = await found.http.request(method, url, headers=headers)

        assert response.status_code == status
        assert found.login.state not in response.text
        assert found.arrivals == []
        assert (await found.come_back()).status_code == 200


async def test_a_browser_that_comes_before_there_is_a_login_is_refused() -> None:
    """NA-05."""
    async with open_loopback(ANYWHERE) as port, httpx.AsyncClient() as http:
        response = await http.get(f"{port.redirect_uri}?code=x&state=y")

    assert response.status_code == 400


@pytest.mark.parametrize(
    "content, status",
    [
        (b"GET / HTTP/1.1\r\nhost: x\r\nx: " + 70_000 * b"a", b"431"),
        (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", b"400"),
        (b"GET http://127.0.0.1/callback/work HTTP/1.1\r\nhost: x\r\n\r\n", b"400"),
        (b"GET /callback/work HTTP/1.0\r\n\r\n", b"421"),
        (b"HEAD * HTTP/1.1\r\nhost: x\r\n\r\n", b"400"),
        (b"", b""),
    ],
    ids=["huge", "TLS", "absolute", "no host", "no resource", "nothing"],
)
async def test_a_request_that_is_none_or_too_long_is_refused_and_the_login_goes_on(
    monkeypatch: pytest.MonkeyPatch, content: bytes, status: bytes
) -> None:
    """AT-25."""
    monkeypatch.setattr(module, "_HEAD_SECONDS", 0.2)
    monkeypatch.setattr(module, "_FAREWELL_SECONDS", 0.05)
    async with waiting() as found:
        answer = await found.sent(content)

        assert answer.partition(b"\r\n")[0].strip() == (b"HTTP/1.1 " + status if status else b"")
        assert (await found.come_back()).status_code == 200


async def test_who_sends_slowly_is_cut_off_and_the_login_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """AT-25."""
    monkeypatch.setattr(module, "_HEAD_SECONDS", 0.2)
    async with waiting() as found:
        slow = await anyio.connect_tcp(*found.address)
        await slow.send(b"GET /callback/wo")

        with pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
            await slow.receive()

        await slow.aclose()
        assert (await found.come_back()).status_code == 200


async def until_open(port: Loopback, connections: int) -> None:
    with anyio.fail_after(5):
        while port._open != connections:
            await anyio.lowlevel.checkpoint()


async def test_only_so_many_can_be_slow_at_once_and_the_login_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """AT-25."""
    monkeypatch.setattr(module, "_HEAD_SECONDS", 60.0)
    monkeypatch.setattr(module, "_CONNECTIONS", 2)
    async with waiting() as found:
        slow = [await anyio.connect_tcp(*found.address) for _ in range(2)]
        await until_open(found.port, 2)
        with anyio.fail_after(5):
            assert await found.sent(b"") == b"", "there is no room"
        for stream in slow:
            await stream.aclose()
        await until_open(found.port, 0)

        assert (await found.come_back()).status_code == 200


async def test_the_cookies_of_other_ports_do_not_keep_a_callback_out() -> None:
    """AT-25: a limit there is, but browsers bring much."""
    async with waiting() as found:
        response = await found.http.get(found.callback, headers={"cookie": 40_000 * "c"})

    assert response.status_code == 200


async def test_the_callback_is_taken_once_and_a_browser_that_went_away_is_not_waited_for() -> None:
    """NA-05."""
    async with open_loopback(ANYWHERE) as port, anyio.create_task_group() as tasks:
        login = begun(port.redirect_uri)
        url = urlsplit(f"{port.redirect_uri}?code=c-1&state={login.state}")
        request = f"GET {url.path}?{url.query} HTTP/1.1\r\nhost: {url.netloc}\r\n\r\n".encode()
        arrivals: list[Arrival] = []

        async def arrive() -> None:
            arrivals.append(await port.arrival())

        port.expect(login)
        tasks.start_soon(arrive)
        first, second = [
            await anyio.connect_tcp(str(url.hostname), int(url.port or 0)) for _ in range(2)
        ]
        await first.send(request)
        while not arrivals:
            await anyio.lowlevel.checkpoint()
        await second.send(request)
        with pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
            await second.receive()
        await second.aclose()
        await first.aclose()
        with anyio.fail_after(5):
            await arrivals[0].answer(success())


class Outside(HTMLParser):
    """What a page would load, send or run."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in {"script", "link", "img", "iframe", "form", "object", "base"}:
            self.found.append(tag)
        self.found += [name for name, _ in attrs if name in {"src", "href", "action"}]


async def test_the_page_has_no_code_in_it_and_nothing_from_elsewhere() -> None:
    """NA-13."""
    async with waiting() as found:
        response = await found.come_back()

    assert response.headers["referrer-policy"] == "no-referrer"
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["connection"] == "close"
    assert "default-src 'none'" in response.headers["content-security-policy"]
    assert "c-1" not in response.text
    assert found.login.state not in response.text
    assert Outside(response.text).found == []
    assert "You are logged in" in response.text


def test_what_a_page_says_is_escaped() -> None:
    """AT-66."""
    page = bytes(failure("<script>alert(1)</script>").content).decode()

    assert "<script>" not in page
    assert "&lt;script&gt;alert(1)" in page


@pytest.mark.parametrize(
    "uri",
    [
        "https://127.0.0.1/callback",
        "http://localhost/callback",
        "http://127.0.0.1/caf\u00e9",
        "http://127.0.0.2/callback",
        "http://app.example/callback",
        "http://127.0.0.1/callback?tenant=x",
        "com.example.app:/callback",
    ],
)
async def test_another_redirect_uri_is_refused_before_a_port_is_open(uri: str) -> None:
    """NA-03."""
    with pytest.raises(ConfigurationError):
        async with open_loopback(uri):
            pass
