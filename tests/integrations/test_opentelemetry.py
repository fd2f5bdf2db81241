"""What dashboards and traces are told of sessions."""

from typing import Any, Final

import anyio
import pytest
from opentelemetry import baggage, trace
from opentelemetry.context import Context, attach, detach
from opentelemetry.sdk.trace import Span, SpanProcessor

from oauthkit import (
    AsyncTokenSession,
    ClientCredentials,
    ConfigurationError,
    MemoryStore,
    OAuthKitError,
    ReauthorizationRequired,
    StoreError,
    TokenExchange,
)
from oauthkit.activity import Activity, ActivityKind, measured
from oauthkit.events import TokenRenewed
from oauthkit.integrations.opentelemetry import OpenTelemetryListener
from oauthkit.renewal.script import Wish
from oauthkit.testing import FakeAuthorizationServer, FakeClock
from tests.integrations.telemetry import Telemetry
from tests.renewal.world import STEADY, ShakyStore, crowd, fail, quiet, stored

PLACE: Final = {"server.address": "auth.example", "server.port": 443}
DURATIONS: Final = {f"oauthkit.{kind}.duration" for kind in ("renewal", "wait", "request", "store")}


async def test_a_renewal_is_measured_by_its_right_and_outcome(telemetry: Telemetry) -> None:
    fake = FakeAuthorizationServer()
    fake.slow_next(0.3)
    async with fake.session(on_event=telemetry.listener) as session:
        await session.get("/report")

    (renewal,) = telemetry.points("oauthkit.renewal.duration")
    renewed = {**PLACE, "oauthkit.outcome": "renewed", "oauth.grant_type": "client_credentials"}
    assert dict(renewal.attributes) == renewed
    assert (renewal.count, renewal.sum) == (1, pytest.approx(0.3))
    (request,) = telemetry.points("oauthkit.request.duration")
    asked = {**renewed, "oauthkit.outcome": "done", "oauthkit.operation": "token"}
    assert dict(request.attributes) == asked
    assert request.sum == pytest.approx(0.3)
    (wait,) = telemetry.points("oauthkit.wait.duration")
    assert dict(wait.attributes) == {**PLACE, "oauthkit.outcome": "done"}
    assert wait.sum == pytest.approx(0.3)


async def test_metrics_have_units_and_limits_of_the_conventions(telemetry: Telemetry) -> None:
    async with FakeAuthorizationServer().session(on_event=telemetry.listener) as session:
        telemetry.listener.watch(session)
        await session.get("/report")
        metrics = telemetry.metrics()

    assert {name for name, metric in metrics.items() if metric.unit == "s"} == DURATIONS
    assert metrics["oauthkit.renewal.active"].unit == "{renewal}"
    assert metrics["oauthkit.session.count"].unit == "{session}"
    assert metrics["oauthkit.events"].unit == "{event}"
    (wait,) = metrics["oauthkit.wait.duration"].data.data_points
    assert wait.explicit_bounds[0] == 0.005
    assert wait.explicit_bounds[-1] == 10


async def test_each_operation_of_a_store_is_measured(telemetry: Telemetry) -> None:
    fake, store = FakeAuthorizationServer(), MemoryStore()
    await stored(fake, store)
    async with crowd(fake, store, on_event=telemetry.listener) as session:
        await session.get("/report")
        await session.revoke()

    operations = telemetry.labels("oauthkit.store.duration")
    assert {labels["oauthkit.operation"] for labels in operations} == {
        "load",
        "lease",
        "save",
        "release",
        "delete",
    }
    (revocation,) = telemetry.labels("oauthkit.revocation.duration")
    assert revocation == {**PLACE, "oauthkit.outcome": "done"}
    asked = telemetry.labels("oauthkit.request.duration")
    assert [labels["oauthkit.operation"] for labels in asked] == ["token", "revocation"]


async def test_a_failure_is_counted_by_what_it_is_and_what_helps(telemetry: Telemetry) -> None:
    fake = FakeAuthorizationServer()
    fake.fail_next(400, content=b'{"error": "invalid_scope"}')
    fake.fail_next(400, content=b'{"error": "made up by somebody"}')
    async with fake.session(on_event=telemetry.listener) as session:
        await fail(session.token())
        fake.advance(60)
        await fail(session.token())

    failures = telemetry.labels("oauthkit.renewal.failures")
    assert [(one["error.type"], one["oauthkit.recovery"]) for one in failures] == [
        ("invalid_scope", "change_request"),
        ("ErrorResponse", "change_request"),
    ]
    assert "made up" not in str(telemetry.metrics())
    waits = telemetry.labels("oauthkit.wait.duration")
    assert [wait["oauthkit.outcome"] for wait in waits] == ["failed", "failed"]


async def test_what_is_not_asked_in_a_pause_is_no_failure(telemetry: Telemetry) -> None:
    fake = FakeAuthorizationServer()
    fake.fail_next(503, headers={"retry-after": "60"})
    async with fake.session(on_event=telemetry.listener) as session:
        await fail(session.token())
        await fail(session.token())

    (failures,) = telemetry.points("oauthkit.renewal.failures")
    assert failures.value == 1
    outcomes = [one["oauthkit.outcome"] for one in telemetry.labels("oauthkit.renewal.duration")]
    assert outcomes == ["failed", "paused"]


async def test_a_fault_in_a_grant_of_the_users_has_no_name(telemetry: Telemetry) -> None:
    async def subject() -> str:
        raise ZeroDivisionError

    fake = FakeAuthorizationServer()
    grant = TokenExchange(subject_token=subject, subject_token_type="urn:x")
    async with fake.session(grant=grant, on_event=telemetry.listener) as session:
        with pytest.raises(ZeroDivisionError):
            await session.token()

    (failure,) = telemetry.labels("oauthkit.renewal.failures")
    assert failure["error.type"] == "_OTHER"
    assert "oauthkit.recovery" not in failure


async def test_a_grant_type_of_the_users_own_has_no_name(telemetry: Telemetry) -> None:
    class Odd(ClientCredentials):
        grant_type = "urn:odd"

    async with FakeAuthorizationServer().session(
        grant=Odd(), on_event=telemetry.listener
    ) as session:
        await fail(session.token())

    (failure,) = telemetry.labels("oauthkit.renewal.failures")
    assert failure["oauth.grant_type"] == "_OTHER"


class OddError(OAuthKitError):
    """Error of a user's own, which says what helps in words of its own."""

    recovery: Any = "canary"


async def test_what_helps_in_words_of_the_users_own_has_no_name(
    telemetry: Telemetry, caplog: pytest.LogCaptureFixture
) -> None:
    async def subject() -> str:
        raise OddError

    fake = FakeAuthorizationServer()
    grant = TokenExchange(subject_token=subject, subject_token_type="urn:x")
    async with fake.session(grant=grant, on_event=telemetry.listener) as session:
        await fail(session.token())

    (failure,) = telemetry.labels("oauthkit.renewal.failures")
    assert failure["oauthkit.recovery"] == "_OTHER"
    assert [vars(record)["oauth_recovery"] for record in caplog.records] == ["_OTHER"]
    (active,) = telemetry.points("oauthkit.renewal.active")
    assert active.value == 0


async def test_what_another_process_has_renewed_is_adopted(telemetry: Telemetry) -> None:
    fake, store = FakeAuthorizationServer(), MemoryStore()
    await stored(fake, store, expired=False)
    async with crowd(fake, store, on_event=telemetry.listener) as session:
        await session.get("/report")

    (labels,) = telemetry.labels("oauthkit.renewal.duration")
    assert labels == {**PLACE, "oauthkit.outcome": "adopted"}


async def test_a_store_that_fails_is_told_by_its_operation(telemetry: Telemetry) -> None:
    fake, store = FakeAuthorizationServer(), ShakyStore()
    await stored(fake, store)
    store.broken = {"save"}
    async with crowd(fake, store, policy=STEADY, on_event=telemetry.listener) as session:
        error = await fail(session.get("/report"))
        store.broken = set()
        await quiet(session)

    assert isinstance(error, StoreError)
    operations = telemetry.labels("oauthkit.store.duration")
    failed = [labels for labels in operations if labels["oauthkit.outcome"] == "failed"]
    assert failed == [
        {
            **PLACE,
            "oauthkit.operation": "save",
            "oauthkit.outcome": "failed",
            "error.type": "StoreError",
            "oauthkit.recovery": "retry_later",
        }
    ]


async def test_an_offer_to_the_store_is_no_renewal(telemetry: Telemetry) -> None:
    async with FakeAuthorizationServer().session(on_event=telemetry.listener) as session:
        session._source.begin(Wish(only_offer=True))
        await session.settled()

    (labels,) = telemetry.labels("oauthkit.renewal.duration")
    assert labels == {**PLACE, "oauthkit.outcome": "offered"}


async def test_everybody_in_a_crowd_waits_for_one_renewal(telemetry: Telemetry) -> None:
    fake = FakeAuthorizationServer()
    async with fake.session(on_event=telemetry.listener) as session:
        with fake.hold() as held:
            async with anyio.create_task_group() as tasks:
                for _ in range(10):
                    tasks.start_soon(session.get, "/report")
                await held.arrived()
                (active,) = telemetry.points("oauthkit.renewal.active")
                assert active.value == 1
                fake.advance(2)
                held.release()

    (wait,) = telemetry.points("oauthkit.wait.duration")
    assert (wait.count, wait.sum) == (10, pytest.approx(20))
    (active,) = telemetry.points("oauthkit.renewal.active")
    assert active.value == 0


async def test_who_stops_waiting_is_told_apart(telemetry: Telemetry) -> None:
    fake = FakeAuthorizationServer()
    async with fake.session(on_event=telemetry.listener) as session:
        with fake.hold() as held:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(session.get, "/report")
                await held.arrived()
                tasks.cancel_scope.cancel()
                held.release()
        await session.settled()

    (wait,) = telemetry.labels("oauthkit.wait.duration")
    assert wait == {**PLACE, "oauthkit.outcome": "cancelled"}


async def test_a_renewal_is_a_trace_of_its_own_with_links_both_ways(telemetry: Telemetry) -> None:
    fake = FakeAuthorizationServer()
    tracer = telemetry.tracers.get_tracer("application")
    async with fake.session(on_event=telemetry.listener) as session:
        with tracer.start_as_current_span("call"):
            await session.get("/report")
        await session.settled()

    call, renewal = telemetry.span("call"), telemetry.span("oauthkit renewal")
    wait, request = telemetry.span("oauthkit wait"), telemetry.span("oauthkit request token")
    assert [span.parent for span in (call, renewal)] == [None, None]
    assert wait.parent == call.context
    assert request.parent == renewal.context
    assert [link.context for link in renewal.links] == [wait.context]
    assert [link.context for link in wait.links] == [renewal.context]
    assert dict(renewal.attributes or {})["oauthkit.outcome"] == "renewed"


async def test_what_is_measured_leads_to_the_span_that_it_took_place_in(
    telemetry: Telemetry,
) -> None:
    async with FakeAuthorizationServer().session(on_event=telemetry.listener) as session:
        await session.get("/report")

    metrics = telemetry.metrics()
    for kind, name in (("renewal", "renewal"), ("wait", "wait"), ("request", "request token")):
        (point,) = metrics[f"oauthkit.{kind}.duration"].data.data_points
        span = telemetry.span(f"oauthkit {name}").get_span_context()
        assert span is not None
        assert [exemplar.span_id for exemplar in point.exemplars] == [span.span_id]


async def test_what_nobody_calls_for_has_no_link(telemetry: Telemetry) -> None:
    async with FakeAuthorizationServer().session(on_event=telemetry.listener) as session:
        session._source.begin(Wish(beside=True))
        await session.settled()

    assert telemetry.span("oauthkit renewal").links == ()


async def test_a_renewal_takes_nothing_of_its_first_caller_along(telemetry: Telemetry) -> None:
    """An instrumented HTTP client would send the baggage of one user with a request for all."""
    seen: list[dict[str, object]] = []

    async def subject() -> str:
        seen.append(dict(baggage.get_all()))
        return "subject"

    fake = FakeAuthorizationServer()
    grant = TokenExchange(subject_token=subject, subject_token_type="urn:x")
    before = attach(baggage.set_baggage("user", "ada"))
    async with fake.session(grant=grant, on_event=telemetry.listener) as session:
        await session.token()
        assert baggage.get_baggage("user") == "ada"
    detach(before)

    assert seen == [{}]


async def test_a_span_of_the_caller_is_current_again_afterwards(telemetry: Telemetry) -> None:
    tracer = telemetry.tracers.get_tracer("application")
    async with FakeAuthorizationServer().session(on_event=telemetry.listener) as session:
        with tracer.start_as_current_span("call") as call:
            await session.get("/report")
            assert trace.get_current_span() is call


class Broken(SpanProcessor):
    """Processor of spans that fails at one of a name."""

    def __init__(self, name: str) -> None:
        self.name = name

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        if span.name == self.name:
            raise ZeroDivisionError


@pytest.mark.parametrize("name", ["oauthkit renewal", "oauthkit wait"])
async def test_a_span_that_cannot_begin_takes_nothing_else_along(
    telemetry: Telemetry, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    telemetry.tracers.add_span_processor(Broken(name))
    async with FakeAuthorizationServer().session(on_event=telemetry.listener) as session:
        assert (await session.get("/report")).status_code == 200
        assert not trace.get_current_span().is_recording()

    (active,) = telemetry.points("oauthkit.renewal.active")
    assert active.value == 0
    counts = [
        telemetry.points(f"oauthkit.{kind}.duration")[0].count for kind in ("renewal", "wait")
    ]
    assert counts == [1, 1]
    (record,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert "ZeroDivisionError" in record.getMessage()


async def test_a_span_that_failed_shows_no_text(telemetry: Telemetry) -> None:
    fake, store = FakeAuthorizationServer(), MemoryStore()
    async with crowd(fake, store, key="canary", on_event=telemetry.listener) as session:
        error = await fail(session.token())

    assert isinstance(error, ReauthorizationRequired)
    assert "canary" in str(error)
    span = telemetry.span("oauthkit renewal")
    assert not span.status.is_ok
    assert span.status.description is None
    assert span.events == ()
    for span in telemetry.exporter.get_finished_spans():
        assert "canary" not in str(span.to_json())
    assert "canary" not in str(telemetry.metrics())


async def test_no_secret_and_no_key_is_told(telemetry: Telemetry) -> None:
    fake, store = FakeAuthorizationServer(client_secret="canary-1"), MemoryStore()
    fake.extra = {"access_token": "canary-2", "refresh_token": "canary-3"}
    await store.save("canary-4", fake.issue())
    fake.advance(100)
    async with crowd(fake, store, key="canary-4", on_event=telemetry.listener) as session:
        await fail(session.get("/canary-5"))

    spans = [span.to_json() for span in telemetry.exporter.get_finished_spans()]
    assert len(spans) > 3
    assert "canary" not in f"{spans}{telemetry.metrics()}"


async def test_watched_sessions_are_counted_by_the_state_of_their_token(
    telemetry: Telemetry,
) -> None:
    def states() -> dict[str, int]:
        points = telemetry.points("oauthkit.session.count")
        counts = {str(point.attributes["oauthkit.session.state"]): point.value for point in points}
        return {state: count for state, count in counts.items() if count}

    fake, store = FakeAuthorizationServer(), MemoryStore()
    async with fake.session() as session, crowd(fake, store) as login:
        telemetry.listener.watch(session)
        assert states() == {"none": 1}
        await session.token()
        telemetry.listener.watch(login)
        assert states() == {"fresh": 1, "none": 1}
        await fail(login.token())
        fake.advance(61)
        assert states() == {"expired": 1, "needs_login": 1}
        fake.fail_next(503, times=9)
        await fail(session.token())
        assert states() == {"expired": 1, "needs_login": 1}
    assert states() == {}  # closed, and so not in use any more
    assert len(telemetry.points("oauthkit.session.count")) == 7


async def test_events_are_counted_and_handed_on(telemetry: Telemetry) -> None:
    async with FakeAuthorizationServer().session(on_event=telemetry.listener) as session:
        await session.get("/report")

    (events,) = telemetry.points("oauthkit.events")
    assert dict(events.attributes) == {"oauthkit.event": "TokenRenewed"}
    assert [type(event) for event in telemetry.events] == [TokenRenewed]


async def test_without_providers_nothing_is_in_the_way() -> None:
    """The global ones do nothing before an application has set them."""
    async with FakeAuthorizationServer().session(on_event=OpenTelemetryListener()) as session:
        assert (await session.get("/report")).status_code == 200


async def test_a_wait_for_a_renewal_that_nobody_told_of_has_no_link(telemetry: Telemetry) -> None:
    """As where two sessions share a renewal, and one of them has a listener."""
    fake, store = FakeAuthorizationServer(), MemoryStore()
    await stored(fake, store)
    async with (
        crowd(fake, store) as silent,
        crowd(fake, store, on_event=telemetry.listener) as told,
        anyio.create_task_group() as tasks,
    ):
        with fake.hold() as held:
            tasks.start_soon(silent.get, "/report")
            await held.arrived()
            tasks.start_soon(told.get, "/report")
            await anyio.wait_all_tasks_blocked()
            held.release()

    assert telemetry.span("oauthkit wait").links == ()


def test_an_activity_without_a_place_has_none(telemetry: Telemetry) -> None:
    activity = Activity(kind=ActivityKind.RENEWAL)
    with measured(activity, hook=telemetry.listener, clock=FakeClock(), server="nonsense"):
        pass
    assert telemetry.labels("oauthkit.renewal.active") == [{}]


def test_another_kind_is_refused(telemetry: Telemetry) -> None:
    wrong: Any = "provider"
    with pytest.raises(ConfigurationError, match="meter_provider="):
        OpenTelemetryListener(meter_provider=wrong)
    with pytest.raises(ConfigurationError, match="session"):
        telemetry.listener.watch(wrong)


async def test_one_on_a_socket_is_told_by_its_port(telemetry: Telemetry) -> None:
    fake = FakeAuthorizationServer()
    async with (
        fake.serve() as url,
        AsyncTokenSession(
            server=fake.server,
            client_auth=fake.client_auth,
            grant=fake.grant,
            base_url=url,
            on_event=telemetry.listener,
        ) as session,
    ):
        await session.get("/report")

    (labels,) = telemetry.labels("oauthkit.request.duration")
    assert f"{labels['server.address']}:{labels['server.port']}" == url.removeprefix("http://")
