"""What a request may carry and when it is sent again, told with literals."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from oauthkit import ConfigurationError, Rejection
from oauthkit.authorizer import (
    MOST_SENDS,
    Answer,
    Attempt,
    OutgoingRequest,
    Reason,
    checked_rules,
    named,
)
from oauthkit.protocol.messages import Origin
from oauthkit.testing import FakeAuthorizationServer

AGAIN = OutgoingRequest(repeatable=True)
ONCE = OutgoingRequest(repeatable=False)


def answer(*challenges: str, status: int = 401, token: str = "access-token-1") -> Answer:
    return Answer(status=status, challenges=challenges, authorization=f"Bearer {token}")


@asynccontextmanager
async def attempt(
    fake: FakeAuthorizationServer, *, fetched: bool = False
) -> AsyncGenerator[Attempt]:
    async with fake.session() as session:
        await session.token()
        authorizer = session._authorizer(lent=False)
        held = authorizer.peek()
        assert held is not None
        yield Attempt(authorizer, held, fetched)


async def test_a_dead_token_is_a_reason_once() -> None:
    fake = FakeAuthorizationServer()
    async with attempt(fake) as call:
        assert call.reason(AGAIN, answer()) is Reason.RENEWAL
        assert await call.prepare(Reason.RENEWAL, readable=True)
        assert call.headers() == {"Authorization": "Bearer access-token-2"}
        assert call.reason(AGAIN, answer(token="access-token-2")) is None
    assert len(fake.token_requests) == 2


async def test_nothing_is_sent_more_often_than_four_times() -> None:
    async with attempt(FakeAuthorizationServer()) as call:
        call.sends = MOST_SENDS - 1
        assert call.reason(AGAIN, answer()) is Reason.RENEWAL
        call.sends = MOST_SENDS
        assert call.reason(AGAIN, answer()) is None
    assert MOST_SENDS == 4


async def test_a_token_that_this_call_fetched_is_as_new_as_can_be() -> None:
    async with attempt(FakeAuthorizationServer(), fetched=True) as call:
        assert call.reason(AGAIN, answer()) is None


async def test_a_token_that_this_call_fetched_grows_old_in_a_queue() -> None:
    fake = FakeAuthorizationServer()
    async with attempt(fake, fetched=True) as call:
        fake.advance(61)
        for number in (1, 2):
            assert call.reason(AGAIN, answer(token=f"access-token-{number}")) is Reason.EXPIRY
            assert await call.prepare(Reason.EXPIRY, readable=True)
            token = f"access-token-{number + 1}"
            assert call.headers() == {"Authorization": f"Bearer {token}"}
            assert call.reason(AGAIN, answer(token=token)) is None
            fake.advance(61)
        assert call.reason(AGAIN, answer(token="access-token-3")) is None
    assert len(fake.token_requests) == 3


async def test_a_token_that_ended_on_the_way_was_not_rejected() -> None:
    fake = FakeAuthorizationServer()
    async with attempt(fake) as call:
        fake.advance(61)
        assert call.reason(ONCE, answer()) is None
        assert call.reason(AGAIN, answer()) is Reason.EXPIRY
        assert await call.prepare(Reason.EXPIRY, readable=True)
        assert call.held.rejections == 0


async def test_what_another_got_meanwhile_may_be_dead_too() -> None:
    fake = FakeAuthorizationServer()
    async with attempt(fake) as call:
        fake.advance(61)
        assert await call.prepare(Reason.EXPIRY, readable=True)
        await call.authorizer.source.renewed()
        assert call.headers() == {"Authorization": "Bearer access-token-3"}
        assert call.reason(AGAIN, answer(token="access-token-3")) is Reason.RENEWAL


@pytest.mark.parametrize("authorization", [None, "Bearer another", "Basic x"])
async def test_an_answer_to_another_request_is_about_another_token(
    authorization: str | None,
) -> None:
    async with attempt(FakeAuthorizationServer()) as call:
        assert call.reason(AGAIN, Answer(status=401, authorization=authorization)) is None


async def test_a_body_that_can_be_sent_once_marks_the_token_for_the_next_call() -> None:
    async with attempt(FakeAuthorizationServer()) as call:
        assert call.reason(ONCE, answer('Bearer error="insufficient_scope"')) is None
        assert call.authorizer.peek() is not None
        assert call.reason(ONCE, answer()) is None
        assert call.authorizer.peek() is None


async def test_the_same_token_again_is_sent_again_only_where_the_answer_is_gone() -> None:
    """The caller is to have a whole answer, whichever it is."""
    fake = FakeAuthorizationServer(extra={"access_token": "always"})
    async with attempt(fake) as call:
        fake.advance(1)
        assert not await call.prepare(Reason.RENEWAL, readable=True)
        assert call.sends == 1
        fake.advance(1)
        assert await call.prepare(Reason.RENEWAL, readable=False)
        assert call.sends == 2


def test_no_view_shows_the_token() -> None:
    assert "canary" not in repr(answer(token="canary"))


def test_origins_are_told_as_urls_tell_them() -> None:
    origins = frozenset(
        {Origin("https", "a", 443), Origin("http", "a", 80), Origin("https", "a", 80)}
    )
    assert named(origins) == {("https", "a", None), ("http", "a", None), ("https", "a", 80)}


@pytest.mark.parametrize("rules", [Rejection(), [Rejection()], (rule for rule in [Rejection()])])
def test_one_rule_or_several(rules: Any) -> None:
    assert checked_rules(rules) == (Rejection(),)


@pytest.mark.parametrize("rules", [None, 403, "text", [403], [Rejection(), None]])
def test_what_is_no_rule_is_refused_with_an_example(rules: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"Rejection\(status=403\)"):
        checked_rules(rules)
