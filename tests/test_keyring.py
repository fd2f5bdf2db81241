"""The keys of a server: fetched once for all, again when one is missing, used in its absence."""

import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import anyio
import attrs
import httpx
import pytest

from oauthkit import (
    AuthorizationServer,
    ConfigurationError,
    OAuthKitError,
    Recovery,
    ResponseError,
    TransportError,
)
from oauthkit.keyring import KeyRing, keyring_of
from oauthkit.protocol.keys import KeySet
from oauthkit.testing import FakeAuthorizationServer

HOUR, DAY = 3_600, 86_400


@attrs.define
class World:
    """A fake server, a client, and the keys of the server."""

    fake: FakeAuthorizationServer
    http: httpx.AsyncClient
    ring: KeyRing

    @property
    def fetched(self) -> int:
        return len(self.fake.endpoint_requests["jwks"])

    async def keys(self, seconds: float = 5.0) -> KeySet:
        return await self.ring.keys(self.http, seconds=seconds, clock=self.fake.clock)

    async def newer(self, than: KeySet, seconds: float = 5.0) -> KeySet | None:
        return await self.ring.newer(self.http, than, seconds=seconds, clock=self.fake.clock)


@pytest.fixture
def world() -> World:
    fake = FakeAuthorizationServer()
    fake.keys.algorithm = "ES256"
    http = httpx.AsyncClient(transport=fake.transport())
    return World(fake, http, KeyRing(f"{fake.issuer}/jwks"))


async def at_once(ask: Callable[[], Awaitable[Any]], tasks: int) -> list[Any]:
    """Return what each of many tasks got, or the error that it got."""
    got: list[Any] = []

    async def one() -> None:
        try:
            got.append(await ask())
        except OAuthKitError as error:
            got.append(error)

    async with anyio.create_task_group() as group:
        for _ in range(tasks):
            group.start_soon(one)
    return got


def ids(keys: KeySet | None) -> list[str | None]:
    return [] if keys is None else [key.key_id for key in keys.keys]


async def test_a_thousand_who_want_the_keys_cause_one_request(world: World) -> None:
    """JO-11, AT-44."""
    got = await at_once(world.keys, 1_000)

    assert {id(keys) for keys in got} == {id(got[0])}
    assert world.fetched == 1


async def test_keys_are_used_for_an_hour_or_as_long_as_the_server_says(world: World) -> None:
    first = await world.keys()
    world.fake.advance(HOUR - 1)
    assert await world.keys() is first
    world.fake.advance(1)
    assert await world.keys() is not first

    document = b'{"keys":[{"kty":"EC","kid":"x"}]}'
    world.fake.fail_next(
        200, headers={"cache-control": "max-age=120"}, content=document, endpoint="jwks"
    )
    world.fake.advance(HOUR)
    assert ids(await world.keys()) == ["x"]
    world.fake.advance(120)
    assert ids(await world.keys()) == ["key-1"]


# A key that is missing


async def test_a_rotation_seconds_after_the_first_fetch_is_found(world: World) -> None:
    """OC-34, JO-11: the pause counts from the last fetch of this kind, not from the first."""
    first = await world.keys()
    world.fake.keys.rotate()
    world.fake.advance(1)

    assert ids(await world.newer(first)) == ["key-2"]
    assert world.fetched == 2


async def test_all_who_miss_a_key_share_one_fetch_and_then_there_is_a_pause(world: World) -> None:
    """OC-34, AT-44."""
    first = await world.keys()
    world.fake.keys.rotate()

    got = await at_once(partial(world.newer, first), 1_000)
    second = await world.keys()
    assert {id(keys) for keys in got} == {id(second)}
    assert world.fetched == 2

    world.fake.advance(29)
    assert await at_once(partial(world.newer, second), 1_000) == [None] * 1_000
    assert world.fetched == 2

    world.fake.advance(1)
    third = await world.newer(second)
    assert third is not None
    assert world.fetched == 3
    assert await world.newer(third) is None


async def test_who_looked_into_older_keys_gets_those_that_are_there(world: World) -> None:
    first = await world.keys()
    second = await world.newer(first)

    assert await world.newer(first) is second
    assert world.fetched == 2


async def test_a_fetch_for_a_missing_key_that_fails_is_told_and_the_keys_stay(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """AT-45: what was fetched before is good for whom it is enough."""
    first = await world.keys()
    world.fake.fail_next(503, headers={"retry-after": "20"}, endpoint="jwks")

    with pytest.raises(ResponseError) as caught:
        await world.newer(first)
    assert (caught.value.recovery, caught.value.retry_after) == (Recovery.RETRY_LATER, 20)
    assert caplog.messages == []
    assert await world.keys() is first

    world.fake.advance(15)
    with pytest.raises(ResponseError) as again:
        await world.newer(first)
    assert again.value.retry_after == 5
    assert world.fetched == 2
    world.fake.advance(5)
    assert await world.newer(first) is not None
    assert world.fetched == 3


# A server that is away


async def test_keys_that_cannot_be_had_are_told_to_all_who_wait_and_asked_for_after_a_pause(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """AT-45."""
    world.fake.fail_next(500, endpoint="jwks")

    got = await at_once(world.keys, 100)

    assert {type(error) for error in got} == {ResponseError}
    assert len({id(error) for error in got}) == 100
    assert {error.retry_after for error in got} == {2}
    assert world.fetched == 1
    assert caplog.messages == []
    world.fake.advance(2)
    assert ids(await world.keys()) == ["key-1"]
    assert world.fetched == 2


@pytest.mark.parametrize("asked, kept_to", [("0", 2), ("1", 2), ("45", 45), ("86400", 60)])
async def test_the_pause_that_the_server_asks_for_is_kept_to_within_limits(
    world: World, asked: str, kept_to: float
) -> None:
    """AT-82."""
    world.fake.fail_next(503, headers={"retry-after": asked}, endpoint="jwks")

    with pytest.raises(ResponseError) as caught:
        await world.keys()

    assert caught.value.retry_after == kept_to


async def test_old_keys_are_used_for_a_day_while_the_server_is_away(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """AT-45."""
    first = await world.keys()
    world.fake.fail_next(500, endpoint="jwks", times=3)
    world.fake.advance(HOUR)

    with caplog.at_level(logging.WARNING, logger="oauthkit"):
        assert await world.keys() is first
    (message,) = caplog.messages
    assert "https://auth.example/jwks could not be fetched again, and those from before" in message
    told = vars(caplog.records[-1])
    assert told["oauth_event"] == "KeysFailed"
    assert told["oauth_server"] == "https://auth.example"
    assert told["oauth_error"] == "ResponseError"

    world.fake.advance(DAY - 1)
    assert await world.keys() is first
    world.fake.advance(1)
    with pytest.raises(ResponseError):
        await world.keys()


async def test_an_answer_that_never_comes_has_an_end(world: World) -> None:
    with world.fake.hold(endpoint="jwks"), pytest.raises(TransportError):
        await world.keys(seconds=0.05)
    world.fake.advance(2)
    assert ids(await world.keys()) == ["key-1"]


async def test_who_is_in_a_hurry_leaves_the_keys_to_who_is_not(world: World) -> None:
    got: list[KeySet] = []

    async def patient() -> None:
        got.append(await world.keys())

    with world.fake.hold(endpoint="jwks") as held:
        async with anyio.create_task_group() as group:

            async def hasty() -> None:
                with pytest.raises(TransportError, match="within"):
                    await world.keys(seconds=0.05)
                await held.arrived(2)  # the other one asks by itself, and at once
                held.release()

            group.start_soon(hasty)
            await held.arrived()
            group.start_soon(patient)

    assert ids(got[0]) == ["key-1"]
    assert world.fetched == 2


async def test_who_has_no_time_waits_for_nobody(world: World) -> None:
    with pytest.raises(TransportError, match="did not come in time") as caught:
        await world.keys(seconds=0)
    assert (caught.value.sent, world.fetched) == (False, 0)
    first = await world.keys()
    with pytest.raises(TransportError, match="did not come in time"):
        await world.newer(first, seconds=0)


async def test_who_waits_for_another_task_waits_no_longer_than_it_wants_to(world: World) -> None:
    with world.fake.hold(endpoint="jwks") as held:
        async with anyio.create_task_group() as group:
            group.start_soon(world.keys)
            await held.arrived()
            with pytest.raises(TransportError, match="did not come in time"):
                await world.keys(seconds=0.01)
            held.release()
    assert world.fetched == 1


async def test_the_next_one_fetches_where_the_first_was_cancelled(world: World) -> None:
    got: list[KeySet] = []

    async def follow() -> None:
        got.append(await world.keys())

    with world.fake.hold(endpoint="jwks") as held:
        async with anyio.create_task_group() as followers:
            async with anyio.create_task_group() as leaders:
                leaders.start_soon(world.keys)
                await held.arrived()
                followers.start_soon(follow)
                await anyio.lowlevel.checkpoint()
                leaders.cancel_scope.cancel()
            await held.arrived(2)
            held.release()

    assert ids(got[0]) == ["key-1"]


async def test_a_client_that_cannot_send_is_no_matter_of_others(world: World) -> None:
    closed = httpx.AsyncClient()
    await closed.aclose()

    with pytest.raises(ConfigurationError, match="the HTTP client is closed"):
        await world.ring.keys(closed, seconds=5, clock=world.fake.clock)

    assert ids(await world.keys()) == ["key-1"]


async def test_a_redirect_is_not_followed(world: World) -> None:
    """AT-28, AT-45."""
    world.fake.fail_next(302, headers={"location": "https://evil.example"}, endpoint="jwks")

    with pytest.raises(ResponseError, match="redirect"):
        await world.keys()
    assert world.fetched == 1


async def test_a_server_that_publishes_its_private_keys_is_reported(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """JO-12: and nothing of them is printed."""
    document = b'{"keys":[{"kty":"EC","kid":"x","d":"canary"}]}'
    world.fake.fail_next(200, content=document, endpoint="jwks")

    keys = await world.keys()

    assert "https://auth.example/jwks publishes private keys" in caplog.text
    told = vars(caplog.records[-1])
    assert (told["oauth_event"], told["oauth_outcome"]) == ("PrivateKeysPublished", "rejected")
    assert "canary" not in f"{caplog.text}{keys!r}{[key.members for key in keys.keys]}"


# Whose keys they are


def test_a_server_has_one_ring_for_each_place_of_its_keys() -> None:
    server = AuthorizationServer("https://a.example/token", jwks_uri="https://a.example/jwks")

    assert keyring_of(server) is keyring_of(server)
    assert keyring_of(attrs.evolve(server)) is not keyring_of(server)
    assert keyring_of(server).jwks_uri == "https://a.example/jwks"


def test_a_server_without_a_place_for_its_keys_is_told_so() -> None:
    with pytest.raises(ConfigurationError, match=r"names no jwks_uri; give AuthorizationServer"):
        keyring_of(AuthorizationServer("https://a.example/token"))
