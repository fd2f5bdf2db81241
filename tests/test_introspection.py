"""What a token is good for: `introspect`, its cache, and the endpoint of the fake."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import anyio
import anyio.lowlevel
import httpx
import pytest

from oauthkit import (
    AuthorizationServer,
    ClientSecretBasic,
    ConfigurationError,
    Discovered,
    Introspection,
    IntrospectionCache,
    InvalidClient,
    OAuthKitError,
    Recovery,
    ResponseError,
    TransportError,
    introspect,
)
from oauthkit.testing import FakeAuthorizationServer

Asked = Callable[..., Coroutine[Any, Any, Introspection]]


@asynccontextmanager
async def asking(fake: FakeAuthorizationServer) -> AsyncGenerator[Asked]:
    """Give a short form of `introspect`."""
    async with httpx.AsyncClient(transport=fake.transport()) as http:
        yield partial(introspect, http, fake.server, fake.client_auth, clock=fake.clock)


def asked(fake: FakeAuthorizationServer) -> list[Any]:
    """Return what came to the endpoint."""
    return fake.endpoint_requests["introspect"]


async def fail(what: Awaitable[object]) -> OAuthKitError:
    with pytest.raises(OAuthKitError) as caught:
        await what
    return caught.value


async def test_a_live_token_of_a_login_is_told_whole() -> None:
    """IN-01."""
    fake = FakeAuthorizationServer()
    token = fake.issue("read write")
    async with asking(fake) as ask:
        said = await ask(token.access_token, "access_token")

    now = fake.clock.time()
    assert said.active
    assert (said.scope, said.client_id, said.username) == ("read write", "client", "ada")
    assert (said.subject, said.issuer, said.token_type) == ("ada", fake.issuer, "Bearer")
    assert (said.issued_at, said.expires_at) == (now, now + 60)
    (request,) = asked(fake)
    assert request.parameters == {"token": token.access_token, "token_type_hint": "access_token"}
    assert request.headers["authorization"].startswith("Basic ")


async def test_a_refresh_token_is_known_too_and_a_spent_one_is_not() -> None:
    fake = FakeAuthorizationServer(refresh_expires_in=600)
    token = fake.issue()
    async with asking(fake) as ask:
        said = await ask(str(token.refresh_token))
        async with fake.session(grant=None, token=token) as session:
            await session.renew()
        spent = await ask(str(token.refresh_token))

    assert (said.active, said.token_type) == (True, None)
    assert not spent.active


async def test_a_token_of_the_client_itself_has_no_username() -> None:
    fake = FakeAuthorizationServer(expires_in=None)
    async with asking(fake) as ask, fake.session() as session:
        said = await ask((await session.token()).access_token)

    assert (said.username, said.subject, said.expires_at) == (None, "client", None)


@pytest.mark.parametrize("end", ["unknown", "expired", "revoked"])
async def test_a_token_that_is_not_good_is_not_active(end: str) -> None:
    fake = FakeAuthorizationServer()
    token = fake.issue()
    if end == "expired":
        fake.advance(60)
    if end == "revoked":
        fake.revoke(token)
    async with asking(fake) as ask:
        said = await ask("made-up" if end == "unknown" else token.access_token)

    assert said == Introspection(active=False)


async def test_an_api_may_be_known_by_a_token_of_its_own() -> None:
    """IN-01."""
    fake = FakeAuthorizationServer()
    own, shown = fake.issue().access_token, fake.issue().access_token
    async with httpx.AsyncClient(transport=fake.transport()) as http:
        ask = partial(introspect, http, fake.server, None, shown, clock=fake.clock)
        assert (await ask(access_token=own)).active
        refused = await fail(ask(access_token="made-up"))

    assert [request.headers["authorization"] for request in asked(fake)] == [
        f"Bearer {own}",
        "Bearer made-up",
    ]
    assert isinstance(refused, InvalidClient)


@pytest.mark.parametrize(
    "given", [{"client_auth": None}, {"client_auth": ClientSecretBasic("a", "b"), "own": "t"}]
)
async def test_who_asks_is_known_in_one_way(given: dict[str, Any]) -> None:
    """IN-01."""
    fake = FakeAuthorizationServer()
    async with httpx.AsyncClient(transport=fake.transport()) as http:
        error = await fail(
            introspect(http, fake.server, given["client_auth"], "t", access_token=given.get("own"))
        )

    assert "give one of the two" in str(error)
    assert not asked(fake)


@pytest.mark.parametrize(
    "name, wrong",
    [
        ("http", object()),
        ("server", "https://auth.example"),
        ("client_auth", ("id", "secret")),
        ("token_text", None),
        ("token_text", ""),
        ("hint", 7),
        ("access_token", 7),
        ("cache", {}),
        ("timeout", "soon"),
        ("clock", 7),
    ],
)
async def test_a_wrong_kind_is_refused_before_anything_is_sent(name: str, wrong: Any) -> None:
    fake = FakeAuthorizationServer()
    async with httpx.AsyncClient(transport=fake.transport()) as http:
        good: dict[str, Any] = {
            "http": http,
            "server": fake.server,
            "client_auth": fake.client_auth,
            "token_text": "t",
        }
        error = await fail(introspect(**{**good, name: wrong}))

    assert isinstance(error, ConfigurationError)
    assert name in str(error) or "httpx.AsyncClient" in str(error)
    assert not asked(fake)


async def test_a_server_that_cannot_answer_lets_nobody_in() -> None:
    fake = FakeAuthorizationServer()
    token = fake.issue().access_token
    fake.fail_next(503, headers={"retry-after": "7"}, endpoint="introspect")
    async with asking(fake) as ask:
        error = await fail(ask(token))
        fake.lose_next_answer(endpoint="introspect")
        lost = await fail(ask(token))

    assert isinstance(error, ResponseError)
    assert (error.recovery, error.retry_after) == (Recovery.RETRY_LATER, 7.0)
    assert isinstance(lost, TransportError)
    assert len(asked(fake)) == 2


async def test_a_redirect_is_not_followed() -> None:
    """AT-28."""
    fake = FakeAuthorizationServer()
    fake.fail_next(307, headers={"location": "https://evil.example"}, endpoint="introspect")
    async with asking(fake) as ask:
        assert "introspection endpoint answered with a redirect" in str(await fail(ask("t")))

    assert not fake.api_requests


async def test_a_discovered_server_is_asked_on_a_socket() -> None:
    fake = FakeAuthorizationServer()
    cache = IntrospectionCache(seconds=30)
    async with fake.serve() as url, httpx.AsyncClient() as http:
        token = fake.issue().access_token
        for _ in range(2):
            said = await introspect(http, Discovered(url), fake.client_auth, token, cache=cache)
            assert said.active

    assert len(asked(fake)) == 1


# The cache


async def test_what_was_said_lately_is_said_again_until_its_time_is_over() -> None:
    """IN-05."""
    fake, cache = FakeAuthorizationServer(), IntrospectionCache(seconds=30)
    token = fake.issue()
    async with asking(fake) as ask:
        first = await ask(token.access_token, cache=cache)
        fake.revoke(token)
        fake.advance(29.9)
        assert await ask(token.access_token, cache=cache) is first
        fake.advance(0.1)
        assert not (await ask(token.access_token, cache=cache)).active

    assert len(asked(fake)) == 2


async def test_an_answer_ends_with_its_token() -> None:
    """IN-05."""
    fake, cache = FakeAuthorizationServer(expires_in=10), IntrospectionCache(seconds=3_600)
    token = fake.issue().access_token
    async with asking(fake) as ask:
        await ask(token, cache=cache)
        fake.advance(9.9)
        assert (await ask(token, cache=cache)).active
        assert len(asked(fake)) == 1
        fake.advance(0.1)
        assert not (await ask(token, cache=cache)).active


async def test_a_token_that_is_not_active_is_asked_about_again_soon() -> None:
    """IN-05."""
    fake, cache = FakeAuthorizationServer(), IntrospectionCache(seconds=3_600)
    async with asking(fake) as ask:
        for pause in (4.9, 0.1, 0.0):
            assert not (await ask("made-up", cache=cache)).active
            fake.advance(pause)

    assert len(asked(fake)) == 2


async def test_a_short_cache_is_as_short_for_tokens_that_are_not_active() -> None:
    fake, cache = FakeAuthorizationServer(), IntrospectionCache(seconds=1)
    async with asking(fake) as ask:
        await ask("made-up", cache=cache)
        fake.advance(1)
        await ask("made-up", cache=cache)

    assert len(asked(fake)) == 2


async def test_an_answer_that_is_over_as_it_comes_is_not_kept_and_serves_all_who_wait() -> None:
    fake, cache = FakeAuthorizationServer(), IntrospectionCache(seconds=30)
    said: list[Introspection] = []
    fake.fail_next(
        200,
        headers={"content-type": "application/json"},
        content=b'{"active": true, "exp": 1}',
        endpoint="introspect",
    )
    async with asking(fake) as ask:
        await _crowd(fake, lambda: _noted(ask("t", cache=cache), said))

    assert len(cache) == 0
    assert [one.expires_at for one in said] == [1.0] * 10
    assert len(asked(fake)) == 1


async def _noted(what: Awaitable[Introspection], said: list[Introspection]) -> None:
    said.append(await what)


async def _crowd(
    fake: FakeAuthorizationServer, one: Callable[[], Coroutine[Any, Any, None]]
) -> None:
    """Do one thing ten times at once, while the endpoint takes its time."""
    with fake.hold(endpoint="introspect") as held:
        async with anyio.create_task_group() as tasks:
            for _ in range(10):
                tasks.start_soon(one)
            await held.arrived()
            await anyio.wait_all_tasks_blocked()
            held.release()


async def test_many_who_are_shown_one_token_ask_once() -> None:
    fake, cache = FakeAuthorizationServer(), IntrospectionCache(seconds=30)
    token, said = fake.issue().access_token, list[Introspection]()
    async with asking(fake) as ask:
        await _crowd(fake, lambda: _noted(ask(token, cache=cache), said))

    assert [one.active for one in said] == [True] * 10
    assert len(asked(fake)) == 1


async def test_many_who_wait_for_one_failure_get_one_each_and_the_next_one_asks() -> None:
    fake, cache = FakeAuthorizationServer(), IntrospectionCache(seconds=30)
    token, errors = fake.issue().access_token, list[OAuthKitError]()

    async def one() -> None:
        errors.append(await fail(ask(token, cache=cache)))

    fake.fail_next(503, headers={"retry-after": "7"}, endpoint="introspect")
    async with asking(fake) as ask:
        await _crowd(fake, one)
        assert len(asked(fake)) == 1
        assert (await ask(token, cache=cache)).active

    assert {error.retry_after for error in errors} == {7.0}
    assert len({id(error) for error in errors}) == 10


class UnusualError(Exception):
    """Be an exception that cannot be copied."""

    def __reduce__(self) -> Any:
        raise TypeError


async def test_who_has_little_time_takes_none_from_the_others() -> None:
    fake, cache = FakeAuthorizationServer(), IntrospectionCache(seconds=30)
    token, told = fake.issue().access_token, list[Introspection | OAuthKitError]()
    async with asking(fake) as ask, anyio.create_task_group() as tasks:

        async def one(seconds: float) -> None:
            try:
                told.append(await ask(token, cache=cache, timeout=seconds))
            except OAuthKitError as error:
                told.append(error)

        with fake.hold(endpoint="introspect") as held:
            tasks.start_soon(one, 0.05)
            await held.arrived()
            tasks.start_soon(one, 20.0)
            while not told:  # the first one gives up
                await anyio.lowlevel.checkpoint()
            held.release()
        while len(told) < 2:
            await anyio.lowlevel.checkpoint()

    assert isinstance(told[0], TransportError)
    assert isinstance(told[1], Introspection)
    assert told[1].active


async def test_nobody_waits_for_another_task_longer_than_for_the_server() -> None:
    fake, cache = FakeAuthorizationServer(), IntrospectionCache(seconds=30)
    token, said = fake.issue().access_token, list[Introspection]()
    async with asking(fake) as ask, anyio.create_task_group() as tasks:
        with fake.hold(endpoint="introspect") as held:
            tasks.start_soon(_noted, ask(token, cache=cache), said)
            await held.arrived()
            error = await fail(ask(token, cache=cache, timeout=0.02))
            assert said == []
            held.release()
        assert isinstance(error, TransportError)
        assert "another task asked" in str(error)

    assert [one.active for one in said] == [True]


async def test_a_failure_that_cannot_be_copied_is_everybodys() -> None:
    fake, cache = FakeAuthorizationServer(), IntrospectionCache(seconds=30)
    asks, errors = 0, list[Exception]()
    go_on = anyio.Event()

    async def ask(_: float) -> Introspection:
        nonlocal asks
        asks += 1
        await go_on.wait()
        raise UnusualError

    async def one() -> None:
        with pytest.raises(UnusualError) as caught:
            await cache.get(("t",), ask, fake.clock, seconds=30)
        errors.append(caught.value)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(one)
        tasks.start_soon(one)
        await anyio.wait_all_tasks_blocked()
        go_on.set()

    assert asks == 1
    assert errors[0] is errors[1]


async def test_one_who_stops_waiting_leaves_the_question_to_another() -> None:
    fake, cache = FakeAuthorizationServer(), IntrospectionCache(seconds=30)
    token, said = fake.issue().access_token, list[Introspection]()
    async with asking(fake) as ask:
        with fake.hold(endpoint="introspect") as held:
            async with anyio.create_task_group() as tasks:
                async with anyio.create_task_group() as first:
                    first.start_soon(partial(ask, token, cache=cache))
                    await held.arrived()
                    tasks.start_soon(_noted, ask(token, cache=cache), said)
                    await anyio.wait_all_tasks_blocked()
                    first.cancel_scope.cancel()
                await held.arrived(2)
                held.release()

    assert [one.active for one in said] == [True]


async def test_the_answer_that_was_used_least_lately_makes_room() -> None:
    fake, cache = FakeAuthorizationServer(), IntrospectionCache(seconds=30, capacity=2)
    one, two, three = (fake.issue().access_token for _ in range(3))
    async with asking(fake) as ask:
        for token in (one, two, one, three, one):
            await ask(token, cache=cache)
        assert len(asked(fake)) == 3
        await ask(two, cache=cache)

    assert len(asked(fake)) == 4
    assert len(cache) == 2


async def test_what_one_caller_was_told_is_not_told_to_another() -> None:
    """RFC 7662 §2.2: a server may say different things to different APIs."""
    fake, cache = FakeAuthorizationServer(), IntrospectionCache(seconds=30)
    token, own = fake.issue().access_token, fake.issue().access_token
    other = AuthorizationServer(
        "https://auth.example/token2", introspection_endpoint="https://auth.example/introspect"
    )
    async with httpx.AsyncClient(transport=fake.transport()) as http:
        settings: dict[str, Any] = {"cache": cache, "clock": fake.clock}
        for _ in range(2):
            await introspect(http, fake.server, fake.client_auth, token, **settings)
            await introspect(http, other, fake.client_auth, token, **settings)
            await introspect(http, fake.server, None, token, access_token=own, **settings)
            await introspect(http, fake.server, fake.client_auth, token, "access_token", **settings)

    assert len(asked(fake)) == 4


async def test_no_token_is_kept_and_a_cache_can_be_emptied() -> None:
    fake, cache = FakeAuthorizationServer(), IntrospectionCache(seconds=30, capacity=7)
    token = fake.issue().access_token
    async with asking(fake) as ask:
        await ask(token, cache=cache)
        assert token not in f"{cache!r}{vars(cache)}"
        assert repr(cache) == "<IntrospectionCache 1 of 7, 30 s>"
        cache.clear()
        await ask(token, cache=cache)

    assert len(asked(fake)) == 2


async def test_what_was_asked_before_a_cache_was_emptied_is_told_to_nobody_after() -> None:
    """IN-05: as where it is emptied because a token was revoked."""
    fake, cache = FakeAuthorizationServer(), IntrospectionCache(seconds=30)
    token, said = fake.issue().access_token, list[Introspection]()
    async with asking(fake) as ask:
        with fake.hold(endpoint="introspect") as held:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_noted, ask(token, cache=cache), said)
                await held.arrived()
                cache.clear()
                tasks.start_soon(_noted, ask(token, cache=cache), said)
                await held.arrived(2)
                cache.clear()
                held.release()
        assert len(cache) == 0
        await ask(token, cache=cache)

    assert len(said) == 2
    assert len(asked(fake)) == 3
    assert len(cache) == 1


@pytest.mark.parametrize(
    "settings", [{"seconds": 0}, {"seconds": "30"}, {"seconds": 1, "capacity": 0}]
)
def test_a_cache_for_no_time_or_nothing_is_refused(settings: Any) -> None:
    with pytest.raises(ConfigurationError, match="IntrospectionCache"):
        IntrospectionCache(**settings)


async def test_the_endpoint_of_the_fake_lets_in_who_is_known() -> None:
    fake = FakeAuthorizationServer()
    async with httpx.AsyncClient(transport=fake.transport()) as http:
        url = f"{fake.issuer}/introspect"
        answers = [
            await http.post(url, data={"token": "x"}),
            await http.post(url, data={"token": "x"}, headers={"authorization": "?"}),
            await http.post(url, data={}, auth=("client", "secret")),
        ]

    assert [answer.status_code for answer in answers] == [401, 400, 400]
