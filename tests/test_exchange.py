import json
from collections.abc import Callable
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from oauthkit import (
    AuthorizationCode,
    AuthorizationServer,
    ClientCredentials,
    ClientSecretBasic,
    GrantStrategy,
    InvalidClient,
    RefreshToken,
    ResponseError,
    Token,
    TransportError,
)
from oauthkit.exchange import Exchange
from oauthkit.protocol.messages import HTTPRequest, HTTPResponse
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


class Line:
    """Answer one request after the other as told, the last one for ever."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.requests: list[HTTPRequest] = []
        self.timeouts: list[float] = []

    async def send(self, request: HTTPRequest, /, *, timeout: float) -> HTTPResponse:  # noqa: ASYNC109 - the seam's own
        await anyio.lowlevel.checkpoint()
        answer = self.answers[min(len(self.requests), len(self.answers) - 1)]
        self.requests.append(request)
        self.timeouts.append(timeout)
        if isinstance(answer, Exception):
            raise answer
        return answer


async def ask(line: Line, grant: GrantStrategy = ALWAYS, **keywords: Any) -> Token:
    exchange = Exchange(line.send, SERVER, CLIENT, clock=FakeClock(), timeout=5.0)
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


async def test_an_end_before_the_timeout_can_be_given() -> None:
    line = Line(good())
    await ask(line, seconds=2.0)
    assert line.timeouts[0] <= 2.0


async def test_no_try_is_made_that_could_not_end_in_time() -> None:
    line = Line(NEVER_SENT, good())
    with pytest.raises(TransportError):
        await ask(line, seconds=0.01)
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
