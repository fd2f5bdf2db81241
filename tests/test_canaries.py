"""Canaries in the local values of every frame, ours or not, of whatever goes wrong."""

import json
import logging
import pickle
import pprint
import subprocess
import sys
import textwrap
import traceback
from collections.abc import Callable, Iterator, Mapping
from copy import copy, deepcopy
from typing import Any

import attrs
import httpx
import pytest
from joserfc.jwk import ECKey
from rich.pretty import pretty_repr

from oauthkit import (
    AsyncTokenSession,
    AuthorizationCode,
    AuthorizationRequest,
    AuthorizationServer,
    ClientCredentials,
    ClientSecretBasic,
    ClientSecretJWT,
    ClientSecretPost,
    ConfigurationError,
    EndpointError,
    MemoryStore,
    PrivateKeyJWT,
    PublicClient,
    RefreshToken,
    RenewalPolicy,
    ResourceOwnerPassword,
    StoreError,
    Token,
)
from oauthkit.events import Event, RenewalFailed, emit
from oauthkit.jose.signing import KeySigner
from oauthkit.protocol.echoes import quotes
from oauthkit.protocol.messages import Headers, HTTPRequest, Origin, check_endpoint
from oauthkit.protocol.secret import Unprintable
from oauthkit.protocol.structure import structured
from oauthkit.services import ads, hello, id_secret
from oauthkit.stores.memory import MemoryStore as Memory

CANARY = "canary-7f3a"
HERE = __file__
PLAIN = ClientSecretBasic("reporter", "s3cret")


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """Give an error and all that it carries along, whether a traceback shows it or not."""
    if error is not None:
        yield error
        yield from chain(error.__cause__)
        yield from chain(error.__context__)


def shown(error: BaseException | None) -> Iterator[str]:
    """Give what a traceback with local values shows, but for the frames of the test itself."""
    for one in chain(error):
        yield from (str(one), repr(one), repr(one.args), repr(vars(one)))
        told = traceback.TracebackException(
            type(one), one, one.__traceback__, capture_locals=True, max_group_width=99
        )
        for frame in told.stack:
            if frame.filename != HERE:
                for name, value in (frame.locals or {}).items():
                    yield f"{frame.filename}:{frame.lineno} {name} = {value}"


def leaks(error: BaseException | None) -> list[str]:
    return [line for line in shown(error) if CANARY in line]


@attrs.frozen
class Level:
    level: int


KEY = {"kty": "oct", "k": CANARY * 9}
PEM = ECKey.generate_key("P-256").as_pem(private=True, password="another")
URL = f"https://u:{CANARY}@auth.example/token"
FAULTS: dict[str, Callable[[], object]] = {
    "secret with a line break": lambda: ClientSecretBasic("id", f"{CANARY}\n"),
    "secret in the body with a line break": lambda: ClientSecretPost("id", f"{CANARY}\n"),
    "secret in the place of another kind": lambda: ClientSecretBasic(17, CANARY),  # type: ignore[arg-type]
    "secret as bytes": lambda: ClientSecretPost("id", CANARY.encode()),  # type: ignore[arg-type]
    "secret twice": lambda: ClientSecretPost("id", CANARY, CANARY),  # type: ignore[call-arg]
    "secret that is too short": lambda: ClientSecretJWT("id", CANARY),
    "secret by an algorithm of keys": lambda: ClientSecretJWT("id", CANARY * 9, "RS256"),
    "key in no PEM": lambda: PrivateKeyJWT("id", CANARY.encode()),
    "key as a text": lambda: PrivateKeyJWT("id", CANARY),  # type: ignore[arg-type]
    "key that is damaged": lambda: PrivateKeyJWT("id", {"kty": "EC", "crv": "P-256", "d": CANARY}),
    "key with a wrong setting": lambda: PrivateKeyJWT("id", KEY, lifetime=0),
    "key with a wrong password": lambda: KeySigner(PEM, password=CANARY),
    "password for nobody": lambda: ResourceOwnerPassword(password=CANARY),  # type: ignore[call-arg]
    "scope beside a refresh token": lambda: RefreshToken(refresh_token=CANARY, scope='"'),
    "verifier beside a code": lambda: AuthorizationCode(code=CANARY, code_verifier="short"),
    "token as a dict": lambda: Token({"access_token": CANARY}),  # type: ignore[arg-type]
    "token with a wrong moment": lambda: Token(CANARY, expires_at="soon"),  # type: ignore[arg-type]
    "token with a wrong extra": lambda: Token(CANARY, extra=[CANARY]),  # type: ignore[arg-type]
    "endpoint with a password": lambda: AuthorizationServer(URL),
    "endpoint in a wrong form": lambda: AuthorizationServer(f"https:u:{CANARY}@auth.example"),
    "endpoint with a query": lambda: AuthorizationServer(f"http://a.example/t?key={CANARY}"),
    "endpoint with a fragment": lambda: AuthorizationServer(f"https://a.example/#{CANARY}"),
    "origin": lambda: Origin.of(f"ftp://u:{CANARY}@a.example/?{CANARY}"),
    "origin with a wrong host": lambda: Origin.of(f"https://u:{CANARY}@ex ample.example/"),
    "origin of no host": lambda: Origin.of(f"https://u:{CANARY}@!!/"),
    "origin with a wrong port": lambda: Origin.of(f"https://u:{CANARY}@a.example:99999/"),
    "origin without a scheme": lambda: Origin.of(f"u:{CANARY}?@a.example/"),
    "checked endpoint": lambda: check_endpoint(f"http://a.example/?{CANARY}", name="issuer"),
    "session with a password in its URL": lambda: AsyncTokenSession(
        server=AuthorizationServer("https://auth.example/token"),
        client_auth=PublicClient("app"),
        base_url=f"https:u:{CANARY}@api.example",
    ),
    "session with a token as a dict": lambda: AsyncTokenSession(
        server=AuthorizationServer("https://auth.example/token"),
        client_auth=PublicClient("app"),
        token={"access_token": CANARY},  # type: ignore[arg-type]
    ),
    "login with a parameter twice": lambda: AuthorizationRequest.new(
        AuthorizationServer("https://a.example/t", authorization_endpoint="https://a.example/a"),
        "app",
        redirect_uri="https://app.example/",
        additional={"state": CANARY},
    ),
    "structure of a list": lambda: structured([CANARY], Level, name="level"),
    "structure of a member": lambda: structured({"level": CANARY}, Level, name="level"),
    "structure without a member": lambda: structured({"other": CANARY}, Level, name="level"),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_no_frame_and_no_text_of_a_fault_shows_a_secret(fault: Callable[[], object]) -> None:
    """AT-69, AT-70: not those of attrs and cattrs either."""
    with pytest.raises((ConfigurationError, ValueError, TypeError)) as caught:
        fault()

    assert leaks(caught.value) == []


# Answers of an API


def answering(content: bytes, status: int, kind: str = "application/json") -> Any:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/token":
            return httpx.Response(200, json={"access_token": CANARY, "token_type": "Bearer"})
        assert request.headers.get("authorization", f"Bearer {CANARY}") == f"Bearer {CANARY}"
        return httpx.Response(status, content=content, headers={"content-type": kind})

    return httpx.AsyncClient(transport=httpx.MockTransport(answer))


@pytest.mark.parametrize(
    "body",
    [
        CANARY,
        f"You sent: Authorization: Bearer {CANARY}",
        "".join(f"&#{ord(c)};" for c in CANARY),
        "".join(f"\\u{ord(c):04x}" for c in CANARY),
        "".join(f"%{ord(c):02x}" for c in CANARY),
    ],
)
@pytest.mark.parametrize("status", [200, 400, 401, 403, 500])
async def test_an_api_that_echoes_the_token_is_not_quoted(body: str, status: int) -> None:
    """AT-69: the error knows what was sent."""
    async with answering(body.encode(), status, "text/html;x/json") as client:
        session = AsyncTokenSession(
            client,
            server=AuthorizationServer("https://api.example/token"),
            client_auth=PLAIN,
            grant=ClientCredentials(),
        )
        environment = ads.Environment("test", "https://api.example")
        if status == 200:
            await session.token()
            assert await ads.test(session, counter=1, environment=environment) == body
            return
        with pytest.raises(EndpointError) as caught:
            await ads.test(session, counter=1, environment=environment)

    assert caught.value.excerpt
    assert leaks(caught.value) == []
    assert body not in str(caught.value)


@pytest.mark.parametrize("body", [f'{{"greeting":["{CANARY}"]}}', f'["{CANARY}"]', f"<{CANARY}"])
async def test_an_answer_of_another_form_stands_in_no_frame(body: str) -> None:
    """AT-69: an API's answer may be anybody's personal data."""
    async with answering(body.encode(), 200) as client:
        session = AsyncTokenSession(
            client,
            server=AuthorizationServer("https://api.example/token"),
            client_auth=PLAIN,
            token=Token(CANARY),
        )
        with pytest.raises(EndpointError) as caught:
            await hello.say_hello(session, first_name="Ada", base_url="https://api.example")

    frames = [line for line in leaks(caught.value) if " = " in line]
    assert frames == []


def test_a_documented_error_of_another_form_stands_in_no_frame() -> None:
    """AT-69."""
    server = id_secret.authorization_server("https://auth.example/token")
    assert server.adapt is not None
    with pytest.raises(ValueError, match="errors") as caught:
        server.adapt({"errors": CANARY, "access_token": CANARY})

    frames = [line for line in leaks(caught.value) if "id_secret" not in line]
    assert frames == []


# What a user's own code raises


@attrs.frozen(kw_only=True)
class Failing(ClientCredentials):
    """Be a grant that quotes a secret in its error."""

    def parameters(self) -> Mapping[str, Any]:
        message = f"cannot sign with {CANARY}"
        raise LookupError(message)


class FailingStore(Memory):
    """Be a store that quotes a secret in its error."""

    def save_leased(self, key: str, fence: int, token: Token) -> None:
        message = f"cannot write {token.access_token}"
        raise LookupError(message)


async def test_what_a_users_own_grant_raises_is_neither_logged_nor_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """AT-69: who called gets it as it is."""
    told: list[Event] = []
    async with answering(b"", 200) as client:
        session = AsyncTokenSession(
            client,
            server=AuthorizationServer("https://api.example/token"),
            client_auth=PLAIN,
            on_event=told.append,
            grant=Failing(),
        )
        with caplog.at_level(logging.DEBUG, "oauthkit"), pytest.raises(LookupError, match=CANARY):
            await session.token()

    (failed,) = (event for event in told if isinstance(event, RenewalFailed))
    assert "LookupError (test_canaries.py, line " in repr(failed)
    assert "LookupError (test_canaries.py, line " in caplog.text
    assert CANARY not in f"{failed}{failed!r}{caplog.text}"


async def test_what_a_users_own_store_raises_is_not_quoted() -> None:
    """AT-69: a driver's error may quote what was stored."""
    told: list[Event] = []
    async with answering(b"", 200) as client:
        session = AsyncTokenSession(
            client,
            server=AuthorizationServer("https://api.example/token"),
            client_auth=PLAIN,
            grant=ClientCredentials(),
            store=FailingStore(),
            key="k",
            policy=RenewalPolicy(save_timeout=0.05),
            on_event=told.append,
        )
        with pytest.raises(StoreError, match="did not take it") as caught:
            await session.token()
        await session.aclose()

    errors = [caught.value, *(getattr(event, "error", None) for event in told)]
    assert [leak for error in errors for leak in leaks(error)] == []


class Unshown(Exception):  # noqa: N818 - it is none of ours
    """Be an error that cannot be shown."""

    def __str__(self) -> str:
        raise LookupError


def test_an_error_quotes_what_stands_in_it_or_in_one_that_it_came_from() -> None:
    bare, deep, round_ = LookupError("nothing"), LookupError("outer"), LookupError("round")
    deep.__context__ = LookupError(f"inner: {CANARY}")
    round_.__cause__ = round_.__context__ = bare
    bare.__context__ = round_

    assert not quotes(None, [CANARY])
    assert not quotes(round_, [CANARY])
    assert quotes(deep, [CANARY])
    assert quotes(Unshown(), [CANARY])


def test_what_an_event_hook_raises_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    """AT-69: its kind and its place are."""

    def hook(_: Event) -> None:
        message = f"cannot send {CANARY}"
        raise LookupError(message)

    emit(Event(key="ada"), hook)

    assert "on_event failed for a Event with LookupError (test_canaries.py, line " in caplog.text
    assert CANARY not in caplog.text


def test_an_error_that_was_never_raised_has_no_place() -> None:
    event = RenewalFailed(key="k", error=LookupError(CANARY), usable=True, pause=1.0)

    assert "error=<LookupError>" in repr(event)


# What prints and copies


def test_what_prints_at_length_shows_no_secret() -> None:
    """AT-70: `pprint` and pytest go into mappings that are too long for a line."""
    names = {f"a rather long name {number}": CANARY for number in range(20)}
    token = Token(CANARY, extra={**names, "nested": names})

    for value in (token, token.extra, [token], {"token": token}):
        assert CANARY not in pprint.pformat(value)
    assert CANARY not in repr(token.extra.copy())  # type: ignore[attr-defined]


def test_what_prints_the_beginning_of_what_is_long_shows_no_secret() -> None:
    """AT-70: rich, and reporters like it, take a slice of a text; and they go into each dict."""
    text = Token(CANARY * 9).access_token
    request = HTTPRequest("POST", "https://auth.example/token", content=text.encode())

    assert text[:20] == str(text)[:20]
    assert CANARY not in repr(text[:80])
    assert request.content[:6] == b"canary"
    assert request.content[0] == ord("c")
    assert CANARY not in repr(request.content[:80])
    for value in (text, request, {"token": text}, Unprintable(access_token=str(text))):
        assert CANARY not in pretty_repr(value, max_string=80)


@pytest.mark.parametrize(
    "value",
    [
        AuthorizationServer(
            f"https://auth.example/token?key={CANARY}",
            authorization_endpoint=f"https://auth.example/authorize?key={CANARY}",
        ),
        HTTPRequest("POST", f"https://auth.example/token?key={CANARY}"),
        AuthorizationCode(code="c", token_endpoint=f"https://auth.example/token?key={CANARY}"),
    ],
)
def test_the_query_of_an_endpoint_is_not_printed(value: object) -> None:
    """AT-70: some servers want a key there."""
    assert CANARY not in repr(value)
    assert "https://auth.example/token?…" in repr(value)


@pytest.mark.parametrize("value", [Headers({"authorization": CANARY}), Token(CANARY), PLAIN])
def test_a_value_with_a_secret_is_copied_and_not_pickled(value: object) -> None:
    """AT-70."""
    assert copy(value) is value
    assert deepcopy([value])[0] is value
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(value)


def test_pytest_prints_no_secret_of_a_failed_comparison(tmp_path: Any) -> None:
    """AT-70: it would show how each field of an attrs value differs, the more it may say."""
    # Source is shown as well: what is looked for does not stand in it, nor in an expression there.
    source = f"""
        from oauthkit import ClientSecretBasic, ResourceOwnerPassword, Token

        HIDDEN = bytes.fromhex("{CANARY.encode().hex()}").decode()
        LONG = dict.fromkeys(map("a rather long name {{}}".format, range(9)), HIDDEN)
        LEFT = Token(HIDDEN + "-left", refresh_token=HIDDEN, extra=LONG)
        RIGHT = Token(HIDDEN + "-right", refresh_token=HIDDEN, extra=LONG | {{"more": HIDDEN}})
        CLIENTS = [ClientSecretBasic("a", HIDDEN + end) for end in ("left", "right")]
        GRANTS = [ResourceOwnerPassword(username="a", password=HIDDEN + e) for e in ("l", "r")]
        LISTS = [[LEFT], [RIGHT, LEFT]]
        DICTS = [{{"a": LEFT}}, {{"a": RIGHT, "b": 1}}]

        def test_tokens():
            assert LEFT == RIGHT

        def test_lists():
            assert LISTS[0] == LISTS[1]

        def test_dicts():
            assert DICTS[0] == DICTS[1]

        def test_clients():
            assert CLIENTS[0] == CLIENTS[1]

        def test_grants():
            assert GRANTS[0] == GRANTS[1]

    """
    path = tmp_path / "test_failing.py"
    path.write_text(textwrap.dedent(source))
    all_of_them = "import pytest, sys; [pytest.main([arg, sys.argv[-1]]) for arg in sys.argv[1:-1]]"
    ran = subprocess.run(  # noqa: S603 - this very interpreter
        [sys.executable, "-c", all_of_them, "--verbosity=0", "-v", "-vv", "-vvv", str(path)],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        cwd=tmp_path,
    )

    assert ran.stdout.count("5 failed") == 4
    assert CANARY not in ran.stdout + ran.stderr


def test_two_values_with_secrets_are_still_compared() -> None:
    assert Token("a") == Token("a")
    assert Token("a") != Token("b")
    assert hash(Token("a")) == hash(Token("a"))
    assert json.dumps(Token("a").access_token) == '"a"'
    assert MemoryStore() != MemoryStore()
