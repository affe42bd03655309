"""Why an event has no job for an integration: a pure decision. No I/O."""

from dataclasses import dataclass
from enum import StrEnum

from worker.domain.event import rfc3339
from worker.domain.integration import Integration


class MissingReason(StrEnum):
    """Why an integration got no job of an event."""

    #: The event waits to be observed.
    WAITING = "waiting"
    #: The event could not be observed.
    SET_ASIDE = "set_aside"
    #: The integration was created after the event.
    CREATED_LATER = "created_later"
    NOT_OBSERVED = "not_observed"
    DISABLED = "disabled"
    #: Its filter does not match the event.
    FILTERED = "filtered"
    #: It would get the event now; it was changed after the event.
    CHANGED_LATER = "changed_later"
    #: It had a job, which ended and is no longer kept.
    FORGOTTEN = "forgotten"


@dataclass(frozen=True, slots=True)
class MissingJob:
    """An integration that has no job of an event, and why."""

    integration_id: str
    name: str
    reason: MissingReason
    #: The reason in words.
    words: str


def missing_job(
    integration: Integration,
    triggered_by: str,
    accepted_at: int,
    *,
    waiting: bool,
    set_aside: bool,
    forgotten: bool,
    left_out: str | None = None,
) -> MissingJob:
    """Return why an integration has no job of an event.

    Args:
        integration: The integration as it is now.
        triggered_by: The event's observable key.
        accepted_at: When the event was accepted (ms since 1970, the ledger's clock).
        waiting: Whether the event is still in the inbox.
        set_aside: Whether it could not be observed.
        forgotten: Whether the integration had a job of it, which is no longer kept.
        left_out: Why the integration's filter leaves the event out, in words; empty if it does not. None if that was
            not checked.
    """
    reason, words = _reason(integration, triggered_by, accepted_at, waiting, set_aside, forgotten, left_out)
    return MissingJob(integration.id, integration.name, reason, words)


def _reason(
    integration: Integration,
    triggered_by: str,
    accepted_at: int,
    waiting: bool,
    set_aside: bool,
    forgotten: bool,
    left_out: str | None,
) -> tuple[MissingReason, str]:
    changed = rfc3339(integration.updated_at)
    if forgotten:
        return MissingReason.FORGOTTEN, "its job has ended and is no longer kept"
    if integration.created_at > accepted_at:
        return MissingReason.CREATED_LATER, f"created later, at {rfc3339(integration.created_at)}"
    later = f" (changed at {changed}, after the event)" if integration.updated_at > accepted_at else ""
    if triggered_by not in integration.observes:
        return MissingReason.NOT_OBSERVED, f"does not observe {triggered_by}{later}"
    if not integration.enabled:
        why = f": {integration.disabled_reason}" if integration.disabled_reason else ""
        return MissingReason.DISABLED, f"disabled since {changed} at the latest{why}"
    if waiting:
        return MissingReason.WAITING, "the event waits to be observed by a worker"
    if set_aside:
        return MissingReason.SET_ASIDE, 'the event could not be observed: see "edw rejected list"'
    if left_out is None and integration.filter is not None:
        return MissingReason.FILTERED, f"it has a filter, which may have left the event out{later}"
    if left_out:
        return MissingReason.FILTERED, left_out + later
    if integration.filter is not None:
        return MissingReason.CHANGED_LATER, f"its filter matches now; it was changed at {changed}"
    return MissingReason.CHANGED_LATER, f"did not observe it then; it was changed at {changed}"
