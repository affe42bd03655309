"""The export of spans through OpenTelemetry's SDK, in batches by OTLP over HTTP from the SDK's own thread.

No delivery waits for a collector or fails because of it. The queue of spans is bounded (OTEL_BSP_MAX_QUEUE_SIZE), and
the SDK drops spans while it is full.
"""

import os
import threading

import structlog
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator

from worker.telemetry.tracing.span_ids import wanted_span_id
from worker.telemetry.tracing.spans import Spans

_log = structlog.get_logger("edw.telemetry")

#: Seconds that the end of the process waits for unsent spans; after that they are lost.
FLUSH_SECONDS = 2.0
#: The SDK's name for a service without one.
_UNNAMED = "unknown_service"


class SpanIds(RandomIdGenerator):
    """A generator of random span ids, except for attempts, whose ids are computed."""

    def generate_span_id(self) -> int:
        """Return the id of the span that is being started."""
        return wanted_span_id() or super().generate_span_id()


class Export:
    """The export of one process; also its global provider, so that spans of plug-ins are exported too."""

    def __init__(self, service: str) -> None:
        self._provider = TracerProvider(resource=_resource(service), id_generator=SpanIds(), shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        trace.set_tracer_provider(self._provider)
        self.traces = Spans(self._provider.get_tracer("event-delivery-worker"))

    def close(self, seconds: float = FLUSH_SECONDS) -> None:
        """Send the queued spans, for at most `seconds`; then drop the rest."""
        # A daemon thread, so that a frozen collector cannot keep the process from ending.
        closing = threading.Thread(target=self._provider.shutdown, name="edw-traces", daemon=True)
        closing.start()
        closing.join(seconds)
        if closing.is_alive():
            _log.warning("traces not sent", why=f"the collector did not accept them within {seconds:g} s")


def _resource(service: str) -> Resource:
    resource = Resource.create({"process.pid": os.getpid()})
    named = str(resource.attributes.get(SERVICE_NAME, _UNNAMED))
    return resource.merge(Resource({SERVICE_NAME: service})) if named.startswith(_UNNAMED) else resource
