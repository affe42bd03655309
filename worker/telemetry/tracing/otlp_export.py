"""OpenTelemetry's SDK, set up for a process of ours: spans leave in batches, by OTLP over HTTP, from the SDK's thread.

No delivery waits for a collector, or fails by it: the queue of spans is bounded (OTEL_BSP_MAX_QUEUE_SIZE), and what
finds no room in it is dropped.
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

#: What has not left so long after the end of the process was to come is lost (seconds).
FLUSH_SECONDS = 2.0
#: What the SDK calls a service that nobody named.
_UNNAMED = "unknown_service"


class SpanIds(RandomIdGenerator):
    """Random ids, but for the spans of attempts."""

    def generate_span_id(self) -> int:
        """Make the id of the span that is started now."""
        return wanted_span_id() or super().generate_span_id()


class Export:
    """The export of one process; it is the process's own provider too, for what plug-ins trace."""

    def __init__(self, service: str) -> None:
        self._provider = TracerProvider(resource=_resource(service), id_generator=SpanIds(), shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        trace.set_tracer_provider(self._provider)
        self.traces = Spans(self._provider.get_tracer("event-delivery-worker"))

    def close(self, seconds: float = FLUSH_SECONDS) -> None:
        """Lets what waits go out, for at most so long."""
        # A daemon: a collector that is frozen must not keep the process from ending.
        closing = threading.Thread(target=self._provider.shutdown, name="edw-traces", daemon=True)
        closing.start()
        closing.join(seconds)
        if closing.is_alive():
            _log.warning("traces not sent", why=f"the collector did not take them within {seconds:g} s")


def _resource(service: str) -> Resource:
    resource = Resource.create({"process.pid": os.getpid()})
    named = str(resource.attributes.get(SERVICE_NAME, _UNNAMED))
    return resource.merge(Resource({SERVICE_NAME: service})) if named.startswith(_UNNAMED) else resource
