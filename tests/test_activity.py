"""What a listener is told of: activities, each with a beginning and an end."""

import logging

import anyio
import pytest

from oauthkit.activity import Activity, ActivityKind, ActivityOutcome, Listener, measured
from oauthkit.events import Event
from oauthkit.testing import FakeAuthorizationServer, FakeClock

SERVER = "https://auth.example/token?key=canary"


class Heard(Listener):
    """Be a listener that remembers."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.begun: list[Activity] = []
        self.over: list[Activity] = []

    def __call__(self, event: Event, /) -> None:
        self.events.append(event)

    def began(self, activity: Activity, /) -> None:
        self.begun.append(activity)

    def ended(self, activity: Activity, /) -> None:
        self.over.append(activity)


class Failing(Heard):
    """Be a listener that fails."""

    def began(self, activity: Activity, /) -> None:
        raise ZeroDivisionError

    ended = began


async def test_a_listener_is_told_of_what_a_renewal_does_in_order() -> None:
    heard = Heard()
    async with FakeAuthorizationServer().session(on_event=heard) as session:
        await session.token()

    told = [(activity.kind.value, activity.operation) for activity in heard.begun]
    assert told == [
        ("wait", None),
        ("renewal", None),
        ("store", "load"),
        ("store", "lease"),
        ("store", "load"),
        ("request", "token"),
        ("store", "save"),
        ("store", "release"),
    ]
    renewal = heard.begun[1]
    assert heard.over[-2:] == [renewal, heard.begun[0]]
    assert {activity.during for activity in heard.begun} == {renewal, None}
    assert len(heard.events) == 1


def test_what_fails_is_told_with_its_error_and_goes_on() -> None:
    heard, clock, error = Heard(), FakeClock(), ValueError("canary")
    activity = Activity(kind=ActivityKind.STORE, operation="load")

    def fail() -> None:
        with measured(activity, hook=heard, clock=clock, server=SERVER):
            clock.advance(3)
            raise error

    with pytest.raises(ValueError, match="canary"):
        fail()

    assert heard.over == [activity]
    assert (activity.outcome, activity.error) == (ActivityOutcome.FAILED, error)
    assert activity.seconds == 3
    assert str(activity.origin) == "https://auth.example"
    assert "canary" not in repr(activity)
    assert "error=None" in repr(Activity(kind=ActivityKind.WAIT))


async def test_what_is_cancelled_is_told_so() -> None:
    heard = Heard()
    activity = Activity(kind=ActivityKind.WAIT)
    with (
        anyio.CancelScope() as scope,
        measured(activity, hook=heard, clock=FakeClock(), server=SERVER),
    ):
        scope.cancel()
        await anyio.sleep(1)

    assert activity.outcome is ActivityOutcome.CANCELLED
    assert heard.over == [activity]


async def test_a_listener_that_fails_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    async with FakeAuthorizationServer().session(on_event=Failing()) as session:
        await session.token()

    assert {record.levelno for record in caplog.records} == {logging.ERROR}
    assert "a listener failed for a renewal with ZeroDivisionError" in caplog.text
    assert {vars(record)["oauth_event"] for record in caplog.records} == {"ListenerFailed"}


async def test_a_function_is_told_of_events_alone() -> None:
    events: list[Event] = []
    async with FakeAuthorizationServer().session(on_event=events.append) as session:
        await session.token()

    assert len(events) == 1


async def test_a_call_with_a_fresh_token_is_no_activity() -> None:
    heard = Heard()
    async with FakeAuthorizationServer().session(on_event=heard) as session:
        await session.get("/report")
        heard.begun.clear()
        await session.get("/report")

    assert heard.begun == []


async def test_a_renewal_by_wish_is_waited_for_too() -> None:
    heard = Heard()
    async with FakeAuthorizationServer().session(on_event=heard) as session:
        await session.token()
        heard.over.clear()
        await session.renew()

    (wait,) = [activity for activity in heard.over if activity.kind is ActivityKind.WAIT]
    assert wait.during is not None
    assert wait.during.outcome is ActivityOutcome.RENEWED
