"""The Celery tasks: `observe` events and `deliver` lanes. They are wake-ups; the ledger holds the state.

Both return when the ledger has the work, not when the events are delivered.
"""

from collections.abc import Mapping
from typing import Any

import structlog
from celery import Task, shared_task
from celery.exceptions import Reject

from worker.domain.event import Refusal
from worker.domain.format_version import is_newer
from worker.domain.trace_context import TRACEPARENT, TRACESTATE, TraceContext
from worker.intake.celery_messages import LeftToNewer
from worker.intake.wakeup_message import MESSAGE_VERSION
from worker.process import runtime
from worker.process.wiring import WorkerServices
from worker.telemetry.newer_versions import NEWER
from worker.telemetry.task_context import in_task

_log = structlog.get_logger("edw.tasks")


@shared_task(name="worker.tasks.observe", bind=True)  # type: ignore[untyped-decorator]  # Celery has no types
def observe(self: Task, *args: Any, **kwargs: Any) -> None:
    """Open the jobs of events.

    A message has `event_ids`, references of events in the inbox, from our own producers; or `events`, whole events,
    from producers that use only Celery. Any other message goes to the rejected list: nobody waits for an answer.
    """
    message = _message(args, kwargs)
    match message:
        case _ if _needs_newer(message):
            _leave(self)
        case {"event_ids": [*refs]} if all(isinstance(ref, str) for ref in refs):
            _run(self, _observe, refs)
        case {"events": [*events]}:
            _take(self, events)
        case _:
            _reject(self, Refusal("events", 'expected {"events": [ … ]}, a list of events'))


@shared_task(name="worker.tasks.deliver", bind=True)  # type: ignore[untyped-decorator]  # Celery has no types
def deliver(self: Task, *args: Any, **kwargs: Any) -> None:
    """Serve the lanes in the message's `lane_ids`, which have due jobs."""
    match message := _message(args, kwargs):
        case _ if _needs_newer(message):
            _leave(self)
        case {"lane_ids": [*lanes]} if all(isinstance(lane, str) for lane in lanes):
            _run(self, _serve, lanes)
        case _:
            _reject(self, Refusal("lane_ids", "expected a list of lanes"))


def _needs_newer(message: Mapping[str, Any]) -> bool:
    match message:
        case {"v": int(version)} if version > MESSAGE_VERSION:
            return True
        case {"minor": int(minor)}:
            return is_newer(minor)
    return False


def _leave(task: Task) -> None:
    """Leave a message to a newer worker: put it at the end of its queue, after a pause.

    The pause bounds how often a fleet without a newer worker moves the message. If this process dies in between, the
    broker delivers the message again.
    """
    NEWER.left("message")
    _run(task, lambda services, _: services.celery_intake.pause(), None)
    request = task.request
    try:
        task.signature_from_request(request, request.args, request.kwargs).apply_async()
    except Exception as error:  # noqa: BLE001  (a broker's client may raise anything; the broker keeps the message)
        raise Reject(f"not put back: {error}", requeue=True) from None


def _take(task: Task, events: list[Any]) -> None:
    # Read here, because the request belongs to this thread and not to the loop's.
    task_id, trace = task.request.id, _trace(task.request)
    again = bool((task.request.delivery_info or {}).get("redelivered"))
    try:
        _run(
            task, lambda services, given: services.celery_intake.take(given, task_id, again=again, trace=trace), events
        )
    except Reject:
        raise
    except LeftToNewer:
        _leave(task)
    except Exception as error:  # noqa: BLE001  (Celery would acknowledge the message, the only copy of its events)
        _log.exception("cannot take events", task=task_id)
        _reject(task, Refusal("", f"internal error: {type(error).__name__}"))


def _trace(request: Any) -> TraceContext | None:
    """Return the trace context in the message's headers, which Celery makes attributes of the request."""
    return TraceContext.of(request.get(TRACEPARENT), request.get(TRACESTATE))


async def _observe(services: WorkerServices, refs: list[str]) -> None:
    await services.dispatch.begin(refs)
    if services.dispatch.stopping:
        # Another worker goes on where this one stopped.
        raise runtime.RuntimeStopped
    services.hot_observer.start()


async def _serve(services: WorkerServices, lanes: list[str]) -> None:
    if services.deliveries.draining:
        raise runtime.RuntimeStopped
    services.deliveries.serve(lanes)


def _message(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Mapping[str, Any]:
    """Return the keyword arguments, or a mapping that is the only positional argument; producers may send either."""
    if len(args) == 1 and not kwargs and isinstance(args[0], dict):
        return args[0]
    return kwargs if not args else {}


def _run(task: Task, work: Any, given: Any) -> None:
    try:
        with in_task(task.request.id):
            runtime.call(lambda services: work(services, given))
    except runtime.RuntimeStopped:
        # Requeue the message for another worker. Any other exception would acknowledge it.
        raise Reject("this worker stops", requeue=True) from None


def _reject(task: Task, refusal: Refusal) -> None:
    source = f"task {task.request.id}"
    given = {"task": task.name, "args": task.request.args, "kwargs": task.request.kwargs}
    _run(task, lambda services, what: services.celery_intake.reject(refusal, what, source), given)
