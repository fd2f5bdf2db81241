"""What a person reads who is stuck: one sentence, complete without its cause."""

import socket
import ssl
from collections.abc import Callable
from typing import Any

import attrs
import httpx
import httpx2
import httpx_aiohttp
import pytest

from oauthkit import (
    AsyncTokenSession,
    AuthorizationServer,
    ClientAuth,
    ClientSecretBasic,
    ClientSecretJWT,
    ClientSecretPost,
    ErrorResponse,
    InvalidClient,
    MemoryStore,
    OAuthKitError,
    PrivateKeyJWT,
    PublicClient,
    ReauthorizationRequired,
    Recovery,
    ResourceOwnerPassword,
    ResponseError,
    SelfSignedTLSClientAuth,
    StoreError,
    TLSClientAuth,
    Token,
    TransportError,
    fetch_token,
)
from oauthkit.protocol.advice import advise
from oauthkit.protocol.client_auth import Authentication
from oauthkit.stores.redis_client import read_field

SERVER = AuthorizationServer("https://auth.example/tokn?key=hidden-7f3a")
BASIC = ClientSecretBasic("id", "secret")
PASSWORD = ResourceOwnerPassword(username="ada", password="lovelace")


def answering(response: httpx.Response) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.MockTransport(lambda _: response))


async def told(
    response: httpx.Response,
    client_auth: ClientAuth = BASIC,
    server: AuthorizationServer = SERVER,
) -> str:
    async with answering(response) as client:
        with pytest.raises(OAuthKitError) as caught:
            await fetch_token(client, server, client_auth, PASSWORD)
    assert "hidden-7f3a" not in f"{caught.value}{caught.value!r}{vars(caught.value)}"
    return str(caught.value)


@pytest.mark.parametrize("status", [404, 405, 410])
async def test_a_wrong_path_of_the_endpoint_is_named(status: int) -> None:
    message = await told(httpx.Response(status, html="<html>not here</html>"))

    assert message.startswith("https://auth.example/tokn: ")
    assert "no token endpoint may be there; look at token_endpoint" in message
    assert f"(HTTP {status})" in message


async def test_what_a_page_in_place_of_a_token_came_from_is_named() -> None:
    message = await told(httpx.Response(200, html="<html>welcome</html>"))

    assert message.startswith("https://auth.example/tokn: the answer cannot be read as text/html")
    assert "look at token_endpoint" not in message


REFUSED = {"error": "invalid_client"}


class Signed(ClientAuth):
    """Be a way to be known of somebody's own."""

    client_id = "app"

    async def authenticate(self, *_: Any, **__: Any) -> Authentication:
        return Authentication()


class Key:
    """Be a signer in a key service."""

    alg = "ES256"
    key_id = None

    async def sign(self, _data: bytes, /) -> bytes:
        return b"signature"


@pytest.mark.parametrize(
    "client_auth, hint",
    [
        (ClientSecretBasic("id", "s3/cret="), "try ClientSecretBasic(…, raw=True)"),
        (ClientSecretBasic("my id", "secret"), "try ClientSecretBasic(…, raw=True)"),
        (ClientSecretBasic("id", "secret"), "some servers want them in the body: ClientSecretPost"),
        (ClientSecretBasic("id", "s/", raw=True), "want them in the body: ClientSecretPost"),
        (ClientSecretPost("id", "secret"), "as Basic credentials: ClientSecretBasic"),
        (PublicClient("app"), "the server may want a secret beside it: ClientSecretBasic"),
        (PrivateKeyJWT("id", Key(), None, "a"), "look at the public key, and its kid, that the"),
        (
            ClientSecretJWT("id", "s" * 32, audience="a"),
            "look at the client id and the secret, and at what the server wants",
        ),
        (TLSClientAuth("id"), "look at the certificate of the HTTP client that asks (token_http=)"),
        (SelfSignedTLSClientAuth("id"), "look at the certificate of the HTTP client"),
    ],
)
@pytest.mark.parametrize(
    "response",
    [
        httpx.Response(401, json=REFUSED),
        httpx.Response(400, json=REFUSED),
        httpx.Response(401, text="who are you?"),
    ],
    ids=["401", "400", "in other words"],
)
async def test_a_refused_client_is_told_what_to_try(
    response: httpx.Response, client_auth: ClientAuth, hint: str
) -> None:
    assert hint in await told(response, client_auth)


LISTED: dict[str, Any] = {
    "token_endpoint_auth_methods_supported": ("private_key_jwt", "tls_client_auth", "n\new")
}


@pytest.mark.parametrize("client_auth", [BASIC, PublicClient("app")])
async def test_a_refused_client_is_told_which_ways_the_server_lists(
    client_auth: ClientAuth,
) -> None:
    """OC-33."""
    server = attrs.evolve(SERVER, **LISTED)

    message = await told(httpx.Response(401, json=REFUSED), client_auth, server)

    assert message == (
        "invalid_client (HTTP 401); "
        "the server lists private_key_jwt, tls_client_auth, n\\x0aew for "
        f"its token endpoint, and this client was known by {client_auth.auth_method}: "
        "PrivateKeyJWT or TLSClientAuth"
    )


@pytest.mark.parametrize(
    "client_auth, members",
    [
        (TLSClientAuth("id"), LISTED),
        (ClientSecretBasic("id", "secret"), {**LISTED, "metadata": {"issuer": "x"}}),
    ],
    ids=["its way is listed", "the document is silent"],
)
async def test_where_the_list_explains_nothing_it_is_not_named(
    client_auth: ClientAuth, members: dict[str, Any]
) -> None:
    message = await told(
        httpx.Response(401, json=REFUSED), client_auth, attrs.evolve(SERVER, **members)
    )

    assert "look at" in message
    assert "lists" not in message


@pytest.mark.parametrize(
    "client_auth, failure, hinted",
    [
        (TLSClientAuth("a"), httpx.ReadError("cut"), True),
        (SelfSignedTLSClientAuth("a"), httpx.ReadError("cut"), True),
        (TLSClientAuth("a"), httpx.ConnectError("no"), False),
        (PublicClient("a"), httpx.ReadError("cut"), False),
    ],
)
async def test_a_cut_connection_may_want_a_certificate(
    client_auth: ClientAuth, failure: httpx.TransportError, *, hinted: bool
) -> None:
    def fail(_: httpx.Request) -> httpx.Response:
        raise failure

    async with httpx.AsyncClient(transport=httpx.MockTransport(fail)) as client:
        with pytest.raises(TransportError) as caught:
            await fetch_token(client, SERVER, client_auth, PASSWORD, timeout=0.2)

    assert ("whose certificate is missing or unknown" in str(caught.value)) is hinted


async def test_a_failure_of_tls_may_want_a_certificate() -> None:
    error = TransportError("no usable answer: ConnectError, TLS failed: X", sent=False)
    error.__cause__ = ssl.SSLError("x")

    advise(error, TLSClientAuth("a"), endpoint="https://auth.example/token")

    assert str(error).endswith(
        "look at the certificate of the HTTP client that asks "
        "(token_http=), and at what the server has on file for this client"
    )


@pytest.mark.parametrize(
    "client_auth, ahead, hinted",
    [
        (PrivateKeyJWT("a", Key(), None, "b"), 6.0, True),
        (PrivateKeyJWT("a", Key(), None, "b"), -6.0, True),
        (PrivateKeyJWT("a", Key(), None, "b"), 5.0, False),
        (BASIC, 6.0, False),
    ],
)
def test_another_time_at_the_server_is_told_to_who_signs(
    client_auth: ClientAuth, ahead: float, *, hinted: bool
) -> None:
    """JA-06."""
    error = InvalidClient("invalid_client", status_code=401)
    advise(error, client_auth, endpoint="https://auth.example/x", ahead=ahead)

    assert (f"or give clock_offset={ahead:.0f}; else look at" in str(error)) is hinted


def test_a_way_that_the_server_does_not_list_is_told_before_its_clock() -> None:
    error = InvalidClient("invalid_client", status_code=401)
    server = attrs.evolve(SERVER, token_endpoint_auth_methods_supported=("client_secret_basic",))
    client_auth = PrivateKeyJWT("a", Key(), None, "b")
    advise(error, client_auth, endpoint="https://auth.example/x", server=server, ahead=60.0)

    assert "the server lists client_secret_basic" in str(error)
    assert "clock" not in str(error)


def test_an_endpoint_with_a_list_of_its_own_has_that_one_named() -> None:
    server = attrs.evolve(SERVER, **LISTED, revocation_endpoint_auth_methods_supported=("other",))
    hints: list[str | None] = []
    for name in ("revocation_endpoint", "pushed_authorization_request_endpoint"):
        error = InvalidClient("invalid_client", status_code=401)
        advise(error, BASIC, endpoint="https://auth.example/x", name=name, server=server)
        hints.append(error.hint)

    assert hints[0] == (
        "the server lists other for its revocation endpoint, and this client was known by "
        "client_secret_basic"
    )
    assert (hints[1] or "").startswith("the server lists private_key_jwt, tls_client_auth")


async def test_who_is_known_in_a_way_of_ones_own_gets_no_advice() -> None:
    assert await told(httpx.Response(401, json=REFUSED), Signed()) == "invalid_client (HTTP 401)"


async def test_another_refusal_is_not_about_the_client() -> None:
    message = await told(httpx.Response(400, json={"error": "invalid_scope"}))

    assert message == "invalid_scope (HTTP 400)"


async def test_the_texts_of_errors_without_advice_stay_as_they_are() -> None:
    assert str(ResponseError("odd", status_code=200, excerpt="x")) == "odd (HTTP 200): x"
    assert str(ErrorResponse("odd", status_code=400)) == "odd (HTTP 400)"
    assert InvalidClient("invalid_client").hint is None


@pytest.mark.parametrize("stored", [True, False])
async def test_the_end_of_a_login_is_told_with_the_servers_own_words(*, stored: bool) -> None:
    refusal = {"error": "invalid_grant", "error_description": "Token was revoked"}
    store = MemoryStore()
    dead = Token("a", refresh_token="r", expires_at=1.0)
    await store.save("ada", dead)
    settings: dict[str, Any] = {"store": store, "key": "ada"} if stored else {"token": dead}
    async with answering(httpx.Response(400, json=refusal)) as client:
        session = AsyncTokenSession(
            client, server=SERVER, client_auth=PublicClient("app"), **settings
        )
        with pytest.raises(ReauthorizationRequired) as caught:
            await session.token()

    message = str(caught.value)
    assert message.endswith("the last answer was invalid_grant: Token was revoked (HTTP 400)")
    assert ("the token of 'ada'" in message) is stored
    assert ("save the new token under this key" in message) is stored
    assert ("give the session a grant=, or a token= from a new login" in message) is not stored


async def test_nothing_to_begin_with_is_told_without_an_answer() -> None:
    session = AsyncTokenSession(server=SERVER, client_auth=PublicClient("app"))
    with pytest.raises(ReauthorizationRequired) as caught:
        await session.token()
    await session.aclose()

    assert str(caught.value) == (
        "nothing is left to renew this session's token with; give the session a grant=, or a "
        "token= from a new login"
    )


class WrongTypeError(Exception):
    """Be what coredis calls it."""


@pytest.mark.parametrize(
    "error", [Exception("WRONGTYPE Operation against a key"), WrongTypeError("Operation against")]
)
async def test_a_name_in_redis_that_somebody_else_uses_is_no_reason_to_wait(
    error: Exception,
) -> None:
    class Client:
        async def field(self, key: str, field: str) -> Any:
            raise error

    client: Any = Client()
    with pytest.raises(StoreError, match="give RedisStore a prefix= of its own") as caught:
        await read_field(client, "k", "token")

    assert caught.value.recovery is Recovery.CHANGE_REQUEST


# On the way


@pytest.fixture
def refusing() -> int:
    """A port at which nobody listens."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        return int(closed.getsockname()[1])


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize(
    "client",
    [httpx.AsyncClient, httpx2.AsyncClient, httpx_aiohttp.HttpxAiohttpClient],
    ids=["httpx", "httpx2", "aiohttp"],
)
async def test_a_refused_connection_and_an_unknown_host_are_told_apart(
    client: Callable[..., Any], refusing: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And both from a failure of TLS, in tests/test_transport.py."""
    texts: list[str] = []
    for host in (f"127.0.0.1:{refusing}", "unknown.invalid"):
        server = AuthorizationServer(f"https://{host}/token")
        async with client(verify=ssl.create_default_context()) as http:
            with pytest.raises(TransportError) as caught:
                await fetch_token(http, server, PublicClient("app"), PASSWORD, timeout=5)
        assert not caught.value.sent
        texts.append(str(caught.value))

    assert "the connection was refused" in texts[0]
    assert "no address is known for the host" in texts[1]
