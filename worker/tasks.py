"""The Celery tasks: `observe` events, `deliver` lanes. They carry wake-ups; the ledger carries the truth.

Both return when the work is safely in the ledger, not when it is delivered.
"""

from collections.abc import Mapping
from typing import Any

import structlog
from celery import Task, shared_task
from celery.exceptions import Reject

from worker.domain.event import Refusal
from worker.domain.trace_context import TRACEPARENT, TRACESTATE, TraceContext
from worker.intake.wakeup_sender import MESSAGE_VERSION
from worker.ledger import LedgerError
from worker.process import runtime
from worker.process.wiring import WorkerServices
from worker.telemetry.task_context import in_task

_log = structlog.get_logger("edw.tasks")


@shared_task(name="worker.tasks.observe", bind=True)  # type: ignore[untyped-decorator]  # Celery has no types
def observe(self: Task, *args: Any, **kwargs: Any) -> None:
    """Opens the jobs of events.

    `event_ids`: references of events in the inbox, as our own producers send them. `events`: whole events, from
    producers that only speak Celery. Anything else is kept in the rejected list, because nobody waits for an answer.
    """
    message = _message(args, kwargs)
    match message:
        case {"v": int(version)} if version > MESSAGE_VERSION:
            _reject(self, Refusal("v", f"message version {version} is newer than this worker's {MESSAGE_VERSION}"))
        case {"event_ids": [*refs]} if all(isinstance(ref, str) for ref in refs):
            _run(self, _observe, refs)
        case {"events": [*events]}:
            _take(self, events)
        case _:
            _reject(self, Refusal("events", 'expected {"events": [ … ]}, a list of events'))


@shared_task(name="worker.tasks.deliver", bind=True)  # type: ignore[untyped-decorator]  # Celery has no types
def deliver(self: Task, *args: Any, **kwargs: Any) -> None:
    """Has lanes served that have due jobs: `lane_ids`."""
    match _message(args, kwargs):
        case {"lane_ids": [*lanes]} if all(isinstance(lane, str) for lane in lanes):
            _run(self, _serve, lanes)
        case _:
            _reject(self, Refusal("lane_ids", "expected a list of lanes"))


def _take(task: Task, events: list[Any]) -> None:
    # The request is this thread's, and not the loop's.
    task_id, trace = task.request.id, _trace(task.request)
    again = bool((task.request.delivery_info or {}).get("redelivered"))
    try:
        _run(
            task, lambda services, given: services.celery_intake.take(given, task_id, again=again, trace=trace), events
        )
    except Reject:
        raise
    except Exception as error:  # noqa: BLE001  (Celery would acknowledge it, and the events are nowhere else)
        _log.exception("cannot take events", task=task_id)
        _reject(task, Refusal("", f"internal error: {type(error).__name__}"))


def _trace(request: Any) -> TraceContext | None:
    """Of the message's headers, which Celery makes attributes of the request."""
    return TraceContext.of(request.get(TRACEPARENT), request.get(TRACESTATE))


async def _observe(services: WorkerServices, refs: list[str]) -> None:
    try:
        await services.dispatch.observe(refs)
    except LedgerError as error:
        # A wake-up may be lost: the events are in the inbox, and a sweep will see to them.
        _log.warning("observed later", events=len(refs), why=str(error))


async def _serve(services: WorkerServices, lanes: list[str]) -> None:
    if services.deliveries.draining:
        raise runtime.RuntimeStopped
    services.deliveries.serve(lanes)


def _message(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Mapping[str, Any]:
    """Keyword arguments, or one mapping as the only positional one: both are what "send it {…}" may mean."""
    if len(args) == 1 and not kwargs and isinstance(args[0], dict):
        return args[0]
    return kwargs if not args else {}


def _run(task: Task, work: Any, given: Any) -> None:
    try:
        with in_task(task.request.id):
            runtime.call(lambda services: work(services, given))
    except runtime.RuntimeStopped:
        # Another worker's, then: an exception of any other kind would acknowledge the message.
        raise Reject("this worker stops", requeue=True) from None


def _reject(task: Task, refusal: Refusal) -> None:
    source = f"task {task.request.id}"
    given = {"task": task.name, "args": task.request.args, "kwargs": task.request.kwargs}
    _run(task, lambda services, what: services.celery_intake.reject(refusal, what, source), given)
