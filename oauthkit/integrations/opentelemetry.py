"""Traces and metrics of sessions, by OpenTelemetry; needs the extra `otel`.

They have few words, all known beforehand: no store key, no user, no token, no text from outside.
"""

import threading
from collections import Counter
from collections.abc import Iterable, Mapping
from contextvars import Token as Before
from types import MappingProxyType
from typing import Any, Final
from weakref import WeakKeyDictionary, WeakSet

from oauthkit.activity import Activity, ActivityKind, ActivityOutcome, Listener
from oauthkit.errors import OAuthKitError, Recovery
from oauthkit.events import Event, EventHook
from oauthkit.integrations import installed_by
from oauthkit.kinds import check_kind, checked
from oauthkit.labels import error_label, grant_label, recovery_label
from oauthkit.renewal.state import Condition
from oauthkit.session import AsyncTokenSession
from oauthkit.version import __version__

with installed_by("'oauthkit[otel]'"):
    from opentelemetry import context, metrics, trace
    from opentelemetry.trace import Link, Span, StatusCode, Tracer, TracerProvider

_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
"""Limits of the histograms, those of `http.client.request.duration`."""
_HISTOGRAMS: Final = MappingProxyType(
    {
        ActivityKind.RENEWAL: "Duration of renewals, from the store to the store.",
        ActivityKind.REVOCATION: "Duration of revocations.",
        ActivityKind.WAIT: "Duration for which callers waited for a renewal.",
        ActivityKind.REQUEST: "Duration of requests to the authorization server.",
        ActivityKind.STORE: "Duration of operations of the token store.",
    }
)
_FOR_ALL: Final = frozenset({ActivityKind.RENEWAL, ActivityKind.REVOCATION})
"""What is done in a task of its own, whoever waits for it."""
_STUCK: Final = frozenset({Condition.NONE, Condition.EXPIRED, Condition.REJECTED})
_NEEDS_LOGIN: Final = "needs_login"

Labels = Mapping[str, str | int]
_Open = tuple[Span, Before[context.Context]]
"""A span, and what was the context before it."""


class OpenTelemetryListener(Listener):
    """Make traces and metrics of what sessions do: hand it to each as `on_event=`.

    Example:
        ::

            from oauthkit.integrations.opentelemetry import OpenTelemetryListener

            telemetry = OpenTelemetryListener()
            session = AsyncTokenSession(server=server, client_auth=client_auth, on_event=telemetry)
            telemetry.watch(session)

    A renewal serves everybody who waits for it, so its span is the root of a trace of its own, with
    a link to the span of the call that began it; the span of each wait, which is a child of its
    caller's, has a link to the renewal. Requests and store operations are children of the renewal.

    Args:
        meter_provider: Where metrics go; None is the global one.
        tracer_provider: Where spans go; None is the global one.
        on_event: Told of every event, too.

    Raises:
        ConfigurationError: One of them is of another kind.
    """

    @checked
    def __init__(
        self,
        *,
        meter_provider: metrics.MeterProvider | None = None,
        tracer_provider: TracerProvider | None = None,
        on_event: EventHook | None = None,
    ) -> None:
        """Make the instruments."""
        self._on_event = on_event
        self._open: WeakKeyDictionary[Activity, _Open] = WeakKeyDictionary()
        self._sessions: WeakSet[AsyncTokenSession[Any]] = WeakSet()
        self._mutex = threading.Lock()  # metrics are collected in another thread
        self._tracer: Tracer = trace.get_tracer("oauthkit", __version__, tracer_provider)
        meter = metrics.get_meter("oauthkit", __version__, meter_provider)
        self._durations = {
            kind: meter.create_histogram(
                f"oauthkit.{kind}.duration",
                "s",
                words,
                explicit_bucket_boundaries_advisory=_SECONDS,
            )
            for kind, words in _HISTOGRAMS.items()
        }
        self._active = meter.create_up_down_counter(
            "oauthkit.renewal.active", "{renewal}", "Renewals on their way."
        )
        self._failures = meter.create_counter(
            "oauthkit.renewal.failures", "{renewal}", "Renewals that failed."
        )
        self._events = meter.create_counter("oauthkit.events", "{event}", "Events, by their kind.")
        about = "{session}", "Watched sessions, by the state of their token."
        meter.create_observable_up_down_counter("oauthkit.session.count", [self._count], *about)

    def watch(self, session: AsyncTokenSession[Any]) -> None:
        """Count a session by the state of its token, until it is closed.

        Args:
            session: One of the application; those of users are too many to be looked at each time.

        Raises:
            ConfigurationError: It is no session.
        """
        check_kind("OpenTelemetryListener.watch: session", session, AsyncTokenSession)
        with self._mutex:
            self._sessions.add(session)

    def __call__(self, event: Event, /) -> None:
        """Count an event, and hand it on."""
        self._events.add(1, {"oauthkit.event": type(event).__name__})
        if self._on_event is not None:
            self._on_event(event)

    def began(self, activity: Activity, /) -> None:
        """Open a span; what is done in it, as by an instrumented HTTP client, belongs to it."""
        if activity.kind is ActivityKind.RENEWAL:
            self._active.add(1, _place(activity))
        name = " ".join(filter(None, ("oauthkit", activity.kind, activity.operation)))
        around, links = context.get_current(), list[Link]()
        if activity.kind in _FOR_ALL:  # what its first caller carries along is of that caller alone
            caller = trace.get_current_span().get_span_context()
            around, links = context.Context(), [Link(caller)] if caller.is_valid else []
        span = self._tracer.start_span(name, around, links=links)
        self._open[activity] = span, context.attach(trace.set_span_in_context(span, around))

    def ended(self, activity: Activity, /) -> None:
        """End the span, and measure."""
        # Where a processor of the user's has let none begin, there is nothing to leave or to end.
        span, before = self._open.get(activity, (trace.INVALID_SPAN, None))
        if before is not None:
            context.detach(before)
        labels, within = _labels(activity), trace.set_span_in_context(span)
        self._durations[activity.kind].record(activity.seconds, labels, within)
        if activity.kind is ActivityKind.RENEWAL:
            self._active.add(-1, _place(activity))
            if activity.outcome is ActivityOutcome.FAILED:
                self._failures.add(1, labels, within)
        if activity.kind is ActivityKind.WAIT and activity.during is not None:
            awaited = self._open.get(activity.during)  # None where another listener was told
            if awaited is not None:
                span.add_link(awaited[0].get_span_context())
        span.set_attributes(labels)
        if activity.error is not None:
            span.set_status(StatusCode.ERROR)  # with no text: an error's may name a user
        span.end()

    def _count(self, _: metrics.CallbackOptions) -> Iterable[metrics.Observation]:
        """Tell how many sessions are in each state, in none of them as well."""
        with self._mutex:
            sessions = list(self._sessions)
        counted = Counter(map(_state, sessions))
        for state in (*(condition.value for condition in Condition), _NEEDS_LOGIN):
            yield metrics.Observation(counted[state], {"oauthkit.session.state": state})


def _state(session: AsyncTokenSession[Any]) -> str | None:
    """Return the state of a token, or that somebody must log in again; None of a closed session."""
    if session.is_closed:
        return None
    status = session.status()
    failure, stuck = status.failure, status.condition in _STUCK
    ended = isinstance(failure, OAuthKitError) and failure.recovery is Recovery.REAUTHORIZE
    return _NEEDS_LOGIN if ended and stuck else status.condition.value


def _place(activity: Activity) -> Labels:
    """Return where the authorization server is."""
    origin = activity.origin
    return {} if origin is None else {"server.address": origin.host, "server.port": origin.port}


def _labels(activity: Activity) -> Labels:
    """Return what is told of an activity: each from a short list, but for the servers in use."""
    labels: dict[str, str | int] = {**_place(activity), "oauthkit.outcome": activity.outcome.value}
    if activity.operation is not None:
        labels["oauthkit.operation"] = activity.operation
    if activity.grant_type is not None:
        labels["oauth.grant_type"] = grant_label(activity.grant_type)
    if activity.error is not None:
        labels["error.type"] = error_label(activity.error)
    if isinstance(activity.error, OAuthKitError):
        labels["oauthkit.recovery"] = recovery_label(activity.error)
    return labels
