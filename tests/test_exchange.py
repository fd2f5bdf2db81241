import json
from collections.abc import Callable
from functools import partial
from typing import Any

import anyio
import anyio.lowlevel
import attrs
import pytest

from oauthkit import (
    Authentication,
    AuthorizationCode,
    AuthorizationServer,
    ClientAuth,
    ClientCredentials,
    ClientSecretBasic,
    ConfigurationError,
    GrantStrategy,
    InvalidClient,
    InvalidGrant,
    ReauthorizationRequired,
    Recovery,
    RefreshToken,
    Repeat,
    ResponseError,
    Token,
    TransportError,
)
from oauthkit.exchange import Exchange, Question, Ready
from oauthkit.protocol.endpoint import build_request
from oauthkit.protocol.messages import HTTPRequest, HTTPResponse
from oauthkit.protocol.single_use import CODES
from oauthkit.testing import FakeClock

SERVER = AuthorizationServer("https://auth.example/token")
CLIENT = ClientSecretBasic("reporter", "s3cret")
CODE = AuthorizationCode(code="c0de", redirect_uri="https://app.example/cb")
REFRESH = RefreshToken(refresh_token="r1")
ALWAYS = ClientCredentials()
NEVER_SENT = TransportError("refused", sent=False)
UNANSWERED = TransportError("cut")

Answer = HTTPResponse | Exception


def good(**members: Any) -> HTTPResponse:
    fields = {"access_token": "a1", "token_type": "Bearer", "expires_in": 60} | members
    return HTTPResponse(200, {"content-type": "application/json"}, json.dumps(fields).encode())


def busy(status: int = 503, **headers: str) -> HTTPResponse:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return HTTPResponse(status, named, b"busy")


@pytest.fixture(autouse=True)
def _another_process() -> None:
    """Let each test be the first to use the code."""
    CODES.release(SERVER.token_endpoint, "c0de")


class Line:
    """Answer one request after the other as told, the last one for ever."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.requests: list[HTTPRequest] = []
        self.timeouts: list[float] = []

    async def send(
        self,
        request: HTTPRequest,
        /,
        *,
        timeout: float,  # noqa: ASYNC109 - the seam's own
        ready: Ready | None = None,
    ) -> HTTPResponse:
        await anyio.lowlevel.checkpoint()
        answer = self.answers[min(len(self.requests), len(self.answers) - 1)]
        self.requests.append(request)
        self.timeouts.append(timeout)
        if isinstance(answer, Exception):
            raise answer
        return answer


async def ask(
    line: Line, grant: GrantStrategy = ALWAYS, *, within: float = 5.0, **keywords: Any
) -> Token:
    exchange = Exchange(line.send, SERVER, CLIENT, clock=FakeClock(), timeout=within)
    with anyio.fail_after(10):
        return await exchange.token(grant, **keywords)


async def test_an_answer_becomes_a_token_that_counts_from_the_request() -> None:
    token = await ask(Line(good()))
    assert (token.access_token, token.issued_at) == ("a1", 1_700_000_000.0)
    assert token.expires_at == 1_700_000_060.0


@pytest.mark.parametrize("grant", [ALWAYS, REFRESH, CODE])
async def test_what_was_never_sent_is_tried_again_by_any_right(grant: GrantStrategy) -> None:
    line = Line(NEVER_SENT, NEVER_SENT, good())
    assert (await ask(line, grant)).access_token == "a1"


@pytest.mark.parametrize("grant, tries", [(ALWAYS, 3), (REFRESH, 2), (CODE, 1)])
async def test_what_was_sent_is_repeated_as_the_grant_allows(
    grant: GrantStrategy, tries: int
) -> None:
    """AT-81, O2-18: a code never, a refresh token once, client credentials while there is time."""
    line = Line(UNANSWERED)
    with pytest.raises(TransportError):
        await ask(line, grant)
    assert len(line.requests) == tries


async def test_a_lost_answer_and_a_refused_connection_count_together() -> None:
    line = Line(UNANSWERED, NEVER_SENT, NEVER_SENT)
    with pytest.raises(TransportError):
        await ask(line, REFRESH)
    assert len(line.requests) == 3


async def test_a_failing_connection_is_not_tried_for_ever() -> None:
    line = Line(NEVER_SENT)
    with pytest.raises(TransportError):
        await ask(line)
    assert len(line.requests) == 3


@pytest.mark.parametrize("status", [429, 503])
async def test_retry_after_is_honoured(status: int) -> None:
    """AT-82: within the time there is."""
    line = Line(busy(status, retry_after="0"), good())
    assert (await ask(line)).access_token == "a1"


async def test_retry_after_beyond_the_end_is_the_callers() -> None:
    """AT-82: it is capped by the timeout, and the error carries the delay."""
    line = Line(busy(429, retry_after="6"), good())
    with pytest.raises(ResponseError) as caught:
        await ask(line)
    assert (caught.value.retry_after, len(line.requests)) == (6.0, 1)


async def test_a_server_that_says_retry_at_once_is_not_asked_for_ever() -> None:
    """AT-82: Retry-After: 0 is no invitation to a busy loop."""
    line = Line(busy(retry_after="0"))
    with pytest.raises(ResponseError):
        await ask(line)
    assert len(line.requests) == 3


@pytest.mark.parametrize("answer", [busy(503), busy(500, retry_after="0"), busy(400)])
async def test_other_answers_are_not_repeated(answer: HTTPResponse) -> None:
    line = Line(answer)
    with pytest.raises(ResponseError):
        await ask(line)
    assert len(line.requests) == 1


async def test_invalid_client_is_not_repeated() -> None:
    refusal = HTTPResponse(401, {"content-type": "application/json"}, b'{"error":"invalid_client"}')
    line = Line(refusal)
    with pytest.raises(InvalidClient):
        await ask(line)
    assert len(line.requests) == 1


async def test_all_tries_share_one_end() -> None:
    line = Line(NEVER_SENT, NEVER_SENT, good())
    await ask(line)
    assert line.timeouts[0] <= 5.0
    assert line.timeouts == sorted(line.timeouts, reverse=True)


async def test_one_try_has_an_end_of_its_own() -> None:
    line = Line(UNANSWERED)
    with pytest.raises(TransportError):
        await Exchange(line.send, SERVER, CLIENT).one_try(ALWAYS, seconds=2.0)
    assert line.timeouts == [pytest.approx(2.0, abs=0.5)]


async def test_no_try_is_made_that_could_not_end_in_time() -> None:
    line = Line(NEVER_SENT, good())
    with pytest.raises(TransportError):
        await ask(line, within=0.1)
    assert len(line.requests) == 1


async def test_a_refresh_authenticates_the_client() -> None:
    """O2-38: as every other token request does."""
    line = Line(good())
    await ask(line, REFRESH)
    assert line.requests[0].headers["authorization"].startswith("Basic ")


async def test_an_answer_without_a_refresh_token_or_scope_keeps_the_old_ones() -> None:
    """O2-35: on a refresh, and on nothing else."""
    previous = Token("a0", refresh_token="r1", scope="read write")
    refreshed = await ask(Line(good()), REFRESH, previous=previous)
    anew = await ask(Line(good()), previous=previous)
    assert (refreshed.refresh_token, refreshed.scope) == ("r1", "read write")
    assert (anew.refresh_token, anew.scope) == (None, None)


async def test_the_refresh_token_that_was_used_goes_on_without_a_previous_token() -> None:
    """O2-35: also where the first refresh token came by configuration."""
    assert (await ask(Line(good()), REFRESH)).refresh_token == "r1"


async def test_a_new_refresh_token_takes_the_place_of_the_old_one() -> None:
    """O2-36: both tokens are new, in one value."""
    token = await ask(Line(good(refresh_token="r2")), REFRESH, previous=Token("a0"))
    assert (token.access_token, token.refresh_token) == ("a1", "r2")


@pytest.mark.parametrize(
    "answered, granted", [({}, "read"), ({"scope": "read write"}, "read write")]
)
async def test_the_granted_scope_is_what_was_asked_for_unless_the_server_says_otherwise(
    answered: dict[str, str], granted: str
) -> None:
    """O2-15, O2-16: the difference can be seen."""
    token = await ask(Line(good(**answered)), ClientCredentials(scope="read"))
    assert token.scope == granted


async def test_each_try_is_built_anew() -> None:
    built: list[str] = []

    def numbered(parameters: Any, client_id: str) -> dict[str, Any]:
        built.append(client_id)
        return dict(parameters) | {"nonce": str(len(built))}

    line = Line(NEVER_SENT, good())
    server = AuthorizationServer("https://auth.example/token", adapt_request=numbered)
    await Exchange(line.send, server, CLIENT).token(ALWAYS)
    contents: list[Callable[[], bytes] | bytes] = [request.content for request in line.requests]
    assert contents[0] != contents[1]


# Who asks


@attrs.frozen
class Signing(ClientAuth):
    """Be known by what a key service signs, which takes a while."""

    client_id: str = "signer"
    asked: list[tuple[str, str, float]] = attrs.field(factory=list[tuple[str, str, float]])
    fault: Exception | None = None
    seconds: float = 0.0

    async def authenticate(
        self, server: AuthorizationServer, *, endpoint: str, now: float
    ) -> Authentication:
        await anyio.sleep(self.seconds)
        if self.fault is not None:
            raise self.fault
        self.asked.append((server.token_endpoint, endpoint, now))
        return Authentication(
            headers={"x-number": str(len(self.asked))},
            parameters={"client_assertion": f"signed-{len(self.asked)}"},
        )


def signed(line: Line, client_auth: Any, *, within: float = 5.0, clock: Any = None) -> Exchange:
    return Exchange(line.send, SERVER, client_auth, clock=clock or FakeClock(), timeout=within)


async def test_each_try_is_authenticated_anew_with_the_time_and_the_endpoint() -> None:
    signing, line = Signing(), Line(NEVER_SENT, UNANSWERED, good())
    await signed(line, signing).token(ALWAYS)
    assert signing.asked == [(SERVER.token_endpoint, SERVER.token_endpoint, 1_700_000_000.0)] * 3
    assert [request.headers["x-number"] for request in line.requests] == ["1", "2", "3"]
    for number, request in enumerate(line.requests, 1):
        assert f"client_assertion=signed-{number}" in request.content.decode()
        assert f"signed-{number}" in request.secrets


@pytest.mark.parametrize(
    "fault", [TransportError("lost"), InvalidGrant("invalid_grant"), TimeoutError()], ids=repr
)
async def test_what_fails_in_the_client_authentication_was_never_sent(fault: Exception) -> None:
    """A refusal by somebody's key service says nothing of the right that was to be presented."""
    line, signing = Line(good()), Signing(fault=fault)
    for grant in (REFRESH, CODE):
        with pytest.raises(TransportError, match=f"failed with {type(fault).__name__}") as caught:
            await signed(line, signing).one_try(grant)
        assert (caught.value.sent, caught.value.__cause__) == (False, fault)
        assert caught.value.recovery is Recovery.RETRY_LATER
    assert line.requests == []
    assert (await ask(line, CODE)).access_token == "a1"


@pytest.mark.parametrize("fault", [ConfigurationError("no key"), ZeroDivisionError()], ids=repr)
async def test_a_mistake_in_the_client_authentication_is_raised_as_it_is(fault: Exception) -> None:
    line = Line(good())
    with pytest.raises(type(fault)) as caught:
        await signed(line, Signing(fault=fault)).token(REFRESH)
    assert caught.value is fault
    assert line.requests == []


async def test_a_client_authentication_that_hangs_has_an_end_before_the_request_would() -> None:
    line = Line(good())
    with pytest.raises(TransportError, match=r"Signing\.authenticate took longer") as caught:
        await signed(line, Signing(seconds=60), within=0.2).one_try(REFRESH)
    assert not caught.value.sent
    assert line.requests == []


async def test_a_request_for_which_no_time_is_left_is_not_begun() -> None:
    """The process was stopped while it signed, and a try that cannot end in time is not sent."""

    class Stopped(Signing):
        async def authenticate(
            self, server: AuthorizationServer, *, endpoint: str, now: float
        ) -> Authentication:
            awake = anyio.current_time() + 0.15
            while anyio.current_time() < awake:
                """Stand."""
            return Authentication()

    line = Line(good())
    with pytest.raises(TransportError, match="nothing was sent") as caught:
        await signed(line, Stopped(), within=0.2).one_try(REFRESH)
    assert not caught.value.sent
    assert line.requests == []


def unread(response: HTTPResponse, request: HTTPRequest, requested_at: float) -> None:
    """Take an answer for nothing."""


async def test_a_request_that_was_built_for_too_long_is_not_begun() -> None:
    def build(authentication: Authentication) -> HTTPRequest:
        awake = anyio.current_time() + 0.1
        while anyio.current_time() < awake:
            """Stand."""
        return HTTPRequest("POST", "https://auth.example/revoke")

    line = Line(good())
    asked = Question(
        server=SERVER, endpoint="https://auth.example/revoke", build=build, parse=unread
    )
    with pytest.raises(TransportError, match="no time was left") as caught:
        await signed(line, None, within=0.1).ask_once(asked)
    assert not caught.value.sent
    assert line.requests == []


async def test_the_time_that_a_client_authentication_takes_is_the_requests() -> None:
    line = Line(good())
    await signed(line, Signing(seconds=0.1), within=5).one_try(REFRESH)
    assert line.timeouts[0] <= 4.9


class OldForm(ClientAuth):
    """As client authentications were written before they were awaited."""

    client_id = "old"

    def authenticate(self, server: AuthorizationServer) -> Authentication:  # type: ignore[override]
        return Authentication(parameters={"client_id": "old"})


class NotAwaited(ClientAuth):
    client_id = "old"

    def authenticate(  # type: ignore[override]
        self, server: AuthorizationServer, *, endpoint: str, now: float
    ) -> Authentication:
        return Authentication(parameters={"client_id": "old"})


@pytest.mark.parametrize("client_auth", [OldForm(), NotAwaited()])
async def test_a_client_authentication_of_the_old_form_says_how_it_is_written(
    client_auth: ClientAuth,
) -> None:
    line = Line(good())
    with pytest.raises(ConfigurationError, match=r"async def authenticate\(self, server, \*"):
        await signed(line, client_auth).token(ALWAYS)
    assert line.requests == []


async def test_a_client_authentication_returns_an_authentication() -> None:
    class Forgetful(ClientAuth):
        client_id = "x"

        async def authenticate(self, server: Any, *, endpoint: str, now: float) -> Any:
            """Return nothing."""

    with pytest.raises(ConfigurationError, match="must return an Authentication, not NoneType"):
        await signed(Line(good()), Forgetful()).token(ALWAYS)


# Any endpoint


def question(**details: Any) -> Question[int]:
    """Return a question to an endpoint that answers with a number of bytes."""
    url = "https://auth.example/revoke"
    build = partial(build_request, SERVER, url, {"token": "t"}, name="revocation_endpoint")
    return Question(
        server=SERVER,
        endpoint=url,
        build=build,
        parse=lambda response, request, at: len(response.content),
        **details,
    )


async def test_any_endpoint_of_the_server_is_asked() -> None:
    signing, line = Signing(), Line(NEVER_SENT, busy(200))
    assert await signed(line, signing).ask(question()) == 4
    assert [endpoint for _, endpoint, _ in signing.asked] == ["https://auth.example/revoke"] * 2
    assert [request.url for request in line.requests] == ["https://auth.example/revoke"] * 2
    assert line.requests[1].content == b"token=t&client_assertion=signed-2"


async def test_an_endpoint_that_does_not_want_to_know_who_asks_is_not_told() -> None:
    line = Line(busy(200))
    assert await signed(line, None).ask_once(question()) == 4
    assert line.requests[0].content == b"token=t"


async def test_a_token_is_asked_for_by_a_client() -> None:
    with pytest.raises(ConfigurationError, match="give a ClientAuth"):
        await signed(Line(good()), None).token(ALWAYS)


@pytest.mark.parametrize("repeat, tries", [(Repeat.NEVER, 1), (Repeat.ONCE, 2), (Repeat.ALWAYS, 3)])
async def test_a_question_is_asked_again_as_it_says(repeat: Repeat, tries: int) -> None:
    line = Line(UNANSWERED)
    with pytest.raises(TransportError):
        await signed(line, None).ask(question(repeat=repeat))
    assert len(line.requests) == tries


# What is good once


@attrs.frozen(kw_only=True)
class CodeOfOnesOwn(GrantStrategy):
    """A grant of a user's own that exchanges a code."""

    grant_type = "authorization_code"

    def parameters(self) -> dict[str, str]:
        return {"code": "c0de"}


async def test_a_code_is_sent_once_by_whatever_grant_it_comes() -> None:
    line = Line(good())
    await ask(line, CODE)
    with pytest.raises(ReauthorizationRequired, match="nothing was sent"):
        await ask(line, CodeOfOnesOwn())
    assert len(line.requests) == 1


async def test_a_code_that_was_held_back_at_the_last_moment_is_good() -> None:
    line = Line(TransportError("the lease was lost", sent=False), good())
    exchange = Exchange(line.send, SERVER, CLIENT)
    with pytest.raises(TransportError):
        await exchange.one_try(CODE)
    assert (await exchange.one_try(CODE)).access_token == "a1"


async def test_an_adapter_of_answers_that_finds_a_mistake_leaves_the_code_spent() -> None:
    def adapt(fields: Any) -> Any:
        message = "no tenant"
        raise ConfigurationError(message)

    server = AuthorizationServer("https://auth.example/token", adapt=adapt)
    line = Line(good())
    with pytest.raises(ConfigurationError, match="no tenant"):
        await Exchange(line.send, server, CLIENT).token(CODE)
    with pytest.raises(ReauthorizationRequired):
        await ask(line, CODE)


def test_a_question_shows_no_secret() -> None:
    assert "canary" not in repr(question(good_once="canary"))
