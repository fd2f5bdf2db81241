"""Traces and metrics that are kept in memory, to be looked at."""

from typing import Any

import attrs
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from oauthkit.events import Event
from oauthkit.integrations.opentelemetry import OpenTelemetryListener


@attrs.define
class Telemetry:
    """What was measured and traced in memory."""

    reader: InMemoryMetricReader = attrs.field(factory=InMemoryMetricReader)
    exporter: InMemorySpanExporter = attrs.field(factory=InMemorySpanExporter)
    events: list[Event] = attrs.field(factory=list[Event])
    meters: MeterProvider = attrs.field(init=False)
    tracers: TracerProvider = attrs.field(factory=lambda: TracerProvider(shutdown_on_exit=False))
    listener: OpenTelemetryListener = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.meters = MeterProvider([self.reader], shutdown_on_exit=False)
        self.tracers.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.listener = OpenTelemetryListener(
            meter_provider=self.meters,
            tracer_provider=self.tracers,
            on_event=self.events.append,
        )

    def metrics(self) -> dict[str, Any]:
        """Return every metric by its name."""
        data: Any = self.reader.get_metrics_data()
        if data is None:
            return {}
        (resource,) = data.resource_metrics
        (scope,) = resource.scope_metrics
        return {metric.name: metric for metric in scope.metrics}

    def points(self, name: str) -> list[Any]:
        return list(self.metrics()[name].data.data_points)

    def labels(self, name: str) -> list[dict[str, Any]]:
        return [dict(point.attributes) for point in self.points(name)]

    def spans(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.exporter.get_finished_spans() if span.name == name]

    def span(self, name: str) -> ReadableSpan:
        (found,) = self.spans(name)
        return found
