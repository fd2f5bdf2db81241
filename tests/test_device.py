"""Logging in on a device without a browser, against a server."""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.lowlevel
import attrs
import httpx
import pytest

from oauthkit import (
    AccessDenied,
    Authentication,
    AuthorizationServer,
    ClientAuth,
    ConfigurationError,
    DeviceLogin,
    Discovered,
    ErrorResponse,
    InvalidClient,
    InvalidGrant,
    ReauthorizationRequired,
    Recovery,
    ResponseError,
    Token,
    poll_device_login,
    start_device_login,
    verify_id_token,
)
from oauthkit.testing import FakeAuthorizationServer

JSON = {"content-type": "application/json"}


@attrs.define
class Device:
    """A device whose pauses take no time; the server's clock moves instead."""

    fake: FakeAuthorizationServer
    http: httpx.AsyncClient
    pauses: list[float] = attrs.field(factory=list[float])
    approve_after: int | None = None
    login: DeviceLogin | None = None

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.fake.advance(seconds)
        await anyio.lowlevel.checkpoint()
        if len(self.pauses) == self.approve_after and self.login is not None:
            self.fake.approve_device(self.login.user_code)

    async def start(self, **options: Any) -> DeviceLogin:
        fake = self.fake
        self.login = await start_device_login(
            self.http, fake.server, fake.client_auth, clock=fake.clock, **options
        )
        return self.login

    async def poll(self, login: DeviceLogin | None = None, **options: Any) -> Token:
        fake, login = self.fake, login or self.login
        assert login is not None
        settings: dict[str, Any] = {"clock": fake.clock} | options
        return await poll_device_login(self.http, fake.server, fake.client_auth, login, **settings)

    @property
    def statuses(self) -> list[int]:
        return [request.status_code for request in self.fake.token_requests]


@asynccontextmanager
async def device(monkeypatch: pytest.MonkeyPatch, **settings: Any) -> AsyncGenerator[Device]:
    fake = FakeAuthorizationServer(**settings)
    async with httpx.AsyncClient(transport=fake.transport()) as http:
        made = Device(fake, http)
        monkeypatch.setattr("oauthkit.operations.device.anyio.sleep", made.sleep)
        yield made


async def test_a_login_on_a_device_says_who_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """OC-01: with the scope `openid`, as any other login."""
    async with device(monkeypatch) as tv:
        await tv.start(scope="openid")
        tv.approve_after = 1
        token = await tv.poll()
        assert token.id_token is not None
        identity = await verify_id_token(
            tv.http, tv.fake.server, tv.fake.client_auth, token.id_token, clock=tv.fake.clock
        )
    assert (identity.issuer, identity.subject) == (tv.fake.issuer, "ada")


async def test_a_login_is_begun_shown_agreed_to_and_gives_a_bound_token(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """DF-01, DF-05."""
    async with device(monkeypatch) as tv:
        login = await tv.start(scope="read write")
        tv.approve_after = 3
        token = await tv.poll()
    assert (login.user_code, login.verification_uri) == (
        "USER-0001",
        f"{tv.fake.issuer}/activate",
    )
    assert tv.statuses == [400, 400, 200]
    assert tv.pauses == [5.0, 5.0, 5.0]
    assert (token.scope, token.issuer, token.client_id) == (
        "read write",
        tv.fake.issuer,
        tv.fake.client_id,
    )
    assert token.refresh_token is not None


@pytest.mark.parametrize("said, waited", [(None, 5.0), (0, 1.0), (31, 31.0)])
async def test_it_waits_first_and_as_long_as_the_server_says(
    monkeypatch: pytest.MonkeyPatch, said: float | None, waited: float
) -> None:
    """DF-03."""
    async with device(monkeypatch, device_interval=said) as tv:
        await tv.start()
        tv.approve_after = 2
        await tv.poll()
        times = [request.at for request in tv.fake.token_requests]
    assert tv.pauses == [waited, waited]
    assert times[1] - times[0] == waited


async def test_the_shortest_interval_is_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    """DF-03."""
    async with device(monkeypatch, device_interval=0) as tv:
        await tv.start()
        tv.approve_after = 1
        await tv.poll(shortest_interval=2.5)
    assert tv.pauses == [2.5]


async def test_slow_down_is_for_good(monkeypatch: pytest.MonkeyPatch) -> None:
    """DF-04."""
    async with device(monkeypatch) as tv:
        await tv.start()
        tv.fake.fail_next(400, headers=JSON, content=b'{"error":"slow_down"}', times=2)
        tv.approve_after = 4
        await tv.poll()
    assert tv.pauses == [5.0, 10.0, 15.0, 15.0]


async def test_the_fake_says_slow_down_to_who_asks_too_soon(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """DF-04: the interval of the server was longer than it said."""
    async with device(monkeypatch) as tv:
        login = await tv.start()
        tv.approve_after = 4
        await tv.poll(attrs.evolve(login, interval=2))
    assert tv.pauses == [2.0, 2.0, 7.0, 7.0]
    errors = [request.status_code for request in tv.fake.token_requests]
    assert errors == [400, 400, 400, 200]


async def test_lost_answers_double_the_pause_and_burn_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """DF-07."""
    async with device(monkeypatch) as tv:
        await tv.start()
        tv.fake.lose_next_answer(2)
        tv.approve_after = 4
        token = await tv.poll()
    assert tv.pauses == [5.0, 10.0, 20.0, 5.0]
    assert token.access_token


async def test_a_server_that_is_busy_is_asked_when_it_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """DF-07."""
    async with device(monkeypatch) as tv:
        await tv.start()
        tv.fake.fail_next(503, headers={"retry-after": "60"})
        tv.approve_after = 2
        await tv.poll()
    assert tv.pauses == [5.0, 60.0]


async def test_a_refusal_by_the_resource_owner_is_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """DF-06."""
    async with device(monkeypatch) as tv:
        login = await tv.start()
        tv.fake.deny_device(login.user_code)
        with pytest.raises(AccessDenied) as caught:
            await tv.poll()
    assert caught.value.recovery is Recovery.REAUTHORIZE
    assert len(tv.statuses) == 1


@pytest.mark.parametrize("error", ["expired_token", "invalid_grant", "unheard_of"])
async def test_any_other_refusal_is_the_end(monkeypatch: pytest.MonkeyPatch, error: str) -> None:
    """DF-06, DF-12: and nothing is begun anew."""
    async with device(monkeypatch) as tv:
        await tv.start()
        content = json.dumps({"error": error}).encode()
        tv.fake.fail_next(400, headers=JSON, content=content)
        with pytest.raises(ErrorResponse) as caught:
            await tv.poll()
    assert caught.value.error == error
    assert len(tv.statuses) == 1
    assert len(tv.fake.endpoint_requests["device"]) == 1


async def test_it_ends_with_the_login_without_another_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """DF-08, DF-12."""
    async with device(monkeypatch, device_expires_in=12) as tv:
        await tv.start()
        with pytest.raises(ReauthorizationRequired, match=r"start a new one$") as caught:
            await tv.poll()
        with pytest.raises(ReauthorizationRequired):
            await tv.poll()
    assert caught.value.recovery is Recovery.REAUTHORIZE
    assert tv.pauses == [5.0, 5.0, 2.0]
    assert len(tv.statuses) == 2
    assert len(tv.fake.endpoint_requests["device"]) == 1


async def test_a_clock_that_jumps_ends_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """DF-08: a laptop that slept beyond the end asks no more."""
    async with device(monkeypatch) as tv:
        await tv.start()

        async def sleep(seconds: float) -> None:
            await anyio.lowlevel.checkpoint()
            tv.fake.advance(10_000)

        monkeypatch.setattr("oauthkit.operations.device.anyio.sleep", sleep)
        with pytest.raises(ReauthorizationRequired):
            await tv.poll()
    assert tv.statuses == []


async def test_the_end_says_what_went_wrong_last(monkeypatch: pytest.MonkeyPatch) -> None:
    async with device(monkeypatch, device_expires_in=20) as tv:
        await tv.start()
        tv.fake.fail_next(503, times=9)
        with pytest.raises(ReauthorizationRequired, match=r"the last request failed: .*HTTP 503"):
            await tv.poll()


async def test_who_is_cancelled_asks_no_more_and_may_go_on_later() -> None:
    """DF-09: on a real clock."""
    fake = FakeAuthorizationServer(device_interval=0)
    async with fake.serve(), httpx.AsyncClient() as http:
        login = await start_device_login(http, fake.server, fake.client_auth)
        with anyio.move_on_after(0.15) as scope:
            await poll_device_login(
                http, fake.server, fake.client_auth, login, shortest_interval=0.05
            )
        assert scope.cancelled_caught
        asked = len(fake.token_requests)
        await anyio.sleep(0.1)
        assert len(fake.token_requests) == asked > 0
        fake.approve_device(login.user_code)
        restored = DeviceLogin.from_dict(login.to_dict())
        token = await poll_device_login(
            http, fake.server, fake.client_auth, restored, shortest_interval=0.01
        )
    assert token.issuer == login.issuer


async def test_a_discovered_server_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    async with device(monkeypatch) as tv:
        fake, server = tv.fake, Discovered(tv.fake.issuer, clock=tv.fake.clock)
        login = await start_device_login(tv.http, server, fake.client_auth, clock=fake.clock)
        fake.approve_device(login.user_code)
        token = await poll_device_login(tv.http, server, fake.client_auth, login, clock=fake.clock)
    assert token.issuer == fake.issuer


@attrs.frozen
class Proving(ClientAuth):
    """Add a proof to each request, as an attestation or a certificate does."""

    client_id: str = "client"

    async def authenticate(
        self, server: AuthorizationServer, *, endpoint: str, now: float
    ) -> Authentication:
        basic = "Basic Y2xpZW50OnNlY3JldA=="
        return Authentication(headers={"authorization": basic, "x-proof": endpoint})


async def test_what_the_client_is_known_by_goes_with_both_requests(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """DF-13."""
    async with device(monkeypatch) as tv:
        fake, client = tv.fake, Proving()
        login = await start_device_login(tv.http, fake.server, client, clock=fake.clock)
        fake.approve_device(login.user_code)
        await poll_device_login(tv.http, fake.server, client, login, clock=fake.clock)
        (begun,), (asked,) = fake.endpoint_requests["device"], fake.token_requests
    assert begun.headers["x-proof"] == f"{fake.issuer}/device"
    assert asked.headers["x-proof"] == f"{fake.issuer}/token"


async def test_further_parameters_go_with_the_request_that_they_are_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """DF-01."""
    async with device(monkeypatch) as tv:
        login = await tv.start(additional={"tenant": "a"})
        tv.fake.approve_device(login.user_code)
        await tv.poll(additional={"tenant": "b"})
        (begun,), (asked,) = tv.fake.endpoint_requests["device"], tv.fake.token_requests
    assert (begun.parameters["tenant"], asked.parameters["tenant"]) == ("a", "b")


async def test_the_code_goes_to_the_server_of_the_login_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with device(monkeypatch) as tv:
        login = await tv.start()
        other = AuthorizationServer("https://other.example/token")
        with pytest.raises(ConfigurationError):
            await poll_device_login(tv.http, other, tv.fake.client_auth, login, clock=tv.fake.clock)
    assert tv.statuses == []


async def test_the_begin_is_refused_as_any_request_is(monkeypatch: pytest.MonkeyPatch) -> None:
    async with device(monkeypatch, allowed_scope="read") as tv:
        with pytest.raises(ErrorResponse, match="invalid_scope"):
            await tv.start(scope="write")
        tv.fake.fail_next(307, headers={"location": "https://evil.example"}, endpoint="device")
        with pytest.raises(ResponseError, match="redirect"):
            await tv.start()
        tv.fake.lose_next_answer(endpoint="device")
        assert (await tv.start()).user_code
        tv.fake.client_secret = "another"
        http, fake = tv.http, tv.fake
        with pytest.raises(InvalidClient):
            await start_device_login(http, fake.server, Proving(), clock=fake.clock)


async def test_a_login_that_gave_a_token_gives_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    async with device(monkeypatch) as tv:
        login = await tv.start()
        tv.fake.approve_device(login.user_code)
        await tv.poll()
        with pytest.raises(InvalidGrant):
            await tv.poll()
        for decide in (tv.fake.approve_device, tv.fake.deny_device):
            with pytest.raises(ValueError, match="waits for the resource owner"):
                decide(login.user_code)
        later = attrs.evolve(await tv.start(), expires_at=1e11)
        tv.fake.advance(601)
        with pytest.raises(ErrorResponse, match="expired_token"):
            await tv.poll(later)


async def test_wrong_kinds_are_refused_before_anything_is_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wrong: Any = 7
    async with device(monkeypatch) as tv:
        login = await tv.start()
        fake = tv.fake
        requests = len(fake.endpoint_requests["device"])
        begun: list[dict[str, Any]]
        begun = [{"scope": 'a"'}, {"resource": "/x"}, {"additional": 7}, {"timeout": "1"}]
        for options in begun:
            with pytest.raises(ConfigurationError):
                await tv.start(**options)
        no_endpoint = AuthorizationServer("https://auth.example/token")
        with pytest.raises(ConfigurationError, match="device_authorization_endpoint"):
            await start_device_login(tv.http, no_endpoint, fake.client_auth)
        with pytest.raises(ConfigurationError):
            await start_device_login(tv.http, fake.server, wrong)
        polled: list[dict[str, Any]]
        polled = [{"shortest_interval": -1.0}, {"shortest_interval": "1"}, {"additional": 7}]
        for options in polled:
            with pytest.raises(ConfigurationError):
                await tv.poll(login, **options)
        with pytest.raises(ConfigurationError):
            await tv.poll(wrong)
    assert len(fake.endpoint_requests["device"]) == requests
    assert fake.token_requests == []
