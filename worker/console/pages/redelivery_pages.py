"""Bulk redelivery: choose, count (dry run), run in steps with the progress, stop between two steps."""

from datetime import UTC, datetime
from uuid import UUID, uuid4, uuid5

from worker.console.visit import Answer, Html, PageRefusal, Visit
from worker.domain.event import rfc3339
from worker.domain.integration import Integration
from worker.domain.job import JobState
from worker.integrations.redelivery import Place, RedeliveryTally, Selection

_STATES = (JobState.FAILED, JobState.PENDING, JobState.CANCELLED, JobState.SUCCEEDED)
#: The counts that are added up over the steps.
_COUNTS = ("reopened", "due", "in_flight", "opened", "gone")


async def form(visit: Visit) -> Answer:
    """Return the form that chooses what to redeliver."""
    integration = await visit.integration()
    horizon = visit.now - visit.services.ledger.policy.event_retention
    return Html("redelivery.html", _values(visit, integration) | {"phase": "choose", "horizon": horizon})


async def run(visit: Visit) -> Answer:
    """Count what a redelivery would do, or make its next step."""
    integration, step = await visit.integration(), visit.form.get("step", "count")
    selection = _selection(visit)
    key = visit.form.get("key") or str(uuid4())
    if len(key) > 36 or not key.isascii():
        raise PageRefusal(400, "Refused", "The form cannot be read. Open the page again.")
    place = _place(visit) if step == "run" else None
    mark = str(uuid5(UUID(integration.id), key))
    tally = await visit.services.redelivery_service.run(
        integration, selection, mark, visit.actor, dry_run=step == "count", place=place
    )
    if step == "run":
        visit.services.wakeups.lanes([integration.id])
    sums = {name: getattr(tally, name) + (_count(visit, name) if step == "run" else 0) for name in _COUNTS}
    phase = "counted" if step == "count" else "running" if tally.next and not tally.full else "over"
    progress = {"phase": phase, "sums": sums, "tally": tally, "key": key, "cursor": _cursor(tally)}
    return Html("redelivery.html", _values(visit, integration) | progress | {"horizon": 0})


def _values(visit: Visit, integration: Integration) -> dict[str, object]:
    given = visit.form
    return {
        "each": integration,
        "states": [state.value for state in _STATES],
        "chosen": given.get("state", JobState.FAILED.value),
        "since": given.get("since", ""),
        "till": given.get("till", ""),
        "missing": given.get("missing") == "true",
    }


def _selection(visit: Visit) -> Selection:
    state = visit.form.get("state", JobState.FAILED.value)
    if state not in set(JobState):
        raise PageRefusal(400, "Refused", "The form names no known state.")
    since, till = _time(visit, "since", 0), _time(visit, "till", visit.now)
    if since > till:
        raise PageRefusal(422, "Nothing to redeliver", "The beginning is after the end.")
    # A later step must select the same jobs as the first one.
    return Selection(since, till, frozenset({JobState(state)}), visit.form.get("missing") == "true")


def _time(visit: Visit, name: str, default: int) -> int:
    text = visit.form.get(name, "").strip()
    if not text:
        return default
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        example = rfc3339(visit.now)[:16]
        raise PageRefusal(422, "Not a time", f"Expected a date and time in UTC, such as {example}.") from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0, round(moment.timestamp() * 1000))


def _place(visit: Visit) -> Place | None:
    text = visit.form.get("cursor", "")
    try:
        return Place.read(text) if text else None
    except ValueError:
        raise PageRefusal(400, "Refused", "The form cannot be read. Open the page again.") from None


def _count(visit: Visit, name: str) -> int:
    text = visit.form.get(f"sum.{name}", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 12 else 0


def _cursor(tally: RedeliveryTally) -> str:
    return "" if tally.next is None else str(tally.next)
