"""Lifecycle events of integrations: their observable keys, and the data of those that warn people."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

from msgspec import UNSET, Meta, Struct, UnsetType

from worker.domain.event import rfc3339
from worker.domain.integration import Integration
from worker.domain.resources import Id, Identifier, Time

CREATED, UPDATED, DELETED = "integration.created", "integration.updated", "integration.deleted"
FAILING, RECOVERED, DISABLED = "integration.failing", "integration.recovered", "integration.disabled"
EXHAUSTED, FILLING = "job.exhausted", "backlog.filling"
ENDING = "integration.certificate_ending"
#: Delivering an event of these raises no lifecycle event, or a broken receiver of them would never come to rest.
LIFECYCLE_KEYS = frozenset({CREATED, UPDATED, DELETED, FAILING, RECOVERED, DISABLED, EXHAUSTED, FILLING, ENDING})


class ConsoleLinks(Struct, frozen=True):
    """The integration's page of the console; it is there if EDW_API_URL is set."""

    console: Annotated[str, Meta(extra_json_schema={"format": "uri"})]


class Warned(Struct, frozen=True, kw_only=True):
    """The integration that a lifecycle event is about."""

    id: Id
    name: str
    integration_type: str
    enabled: bool
    type: Literal["integration"] = "integration"
    links: ConsoleLinks | UnsetType = UNSET


class IntegrationFailing(Warned, frozen=True, kw_only=True):
    """`integration.failing`: all attempts have failed for 50 % or 90 % of the time after which it is disabled."""

    since: Time
    #: Consecutive failed attempts.
    attempts: int
    percent: Literal[50, 90]
    #: When it will be disabled, unless an attempt succeeds.
    disabled_at: Time
    #: The last failure, in words.
    reason: str


class IntegrationRecovered(Warned, frozen=True, kw_only=True):
    """`integration.recovered`: an attempt succeeded, after `integration.failing` or `integration.disabled`."""

    #: Since when it was in trouble.
    since: Time
    recovered_at: Time


class IntegrationDisabled(Warned, frozen=True, kw_only=True):
    """`integration.disabled`: the worker disabled it. Its jobs wait, and it gets no new ones."""

    disabled_at: Time
    #: Since when all attempts have failed; absent if the receiver answered 410 while others succeeded.
    since: Time | UnsetType = UNSET
    #: Consecutive failed attempts.
    attempts: int
    reason: str


class JobExhausted(Warned, frozen=True, kw_only=True):
    """`job.exhausted`: jobs failed for good; at most one event a minute for each integration."""

    #: Jobs that failed since the last such event.
    count: int
    since: Time
    last_job: Identifier
    #: The last failure, in words.
    reason: str


class BacklogFilling(Warned, frozen=True, kw_only=True):
    """`backlog.filling`: due jobs fill 50 % or 90 % of the backlog. A full one cancels its oldest jobs."""

    percent: Literal[50, 90]
    jobs: int
    jobs_most: int
    #: What the jobs and their events take in Redis.
    bytes: int
    #: 0 is no limit.
    bytes_most: int


class CertificateEnding(Warned, frozen=True, kw_only=True):
    """`integration.certificate_ending`: a certificate runs out within 30 days, or has run out."""

    #: The key of its configuration.
    field: str
    ends_at: Time


#: The data of each event that warns people.
WARNINGS: Mapping[str, type[Warned]] = {
    FAILING: IntegrationFailing,
    RECOVERED: IntegrationRecovered,
    DISABLED: IntegrationDisabled,
    EXHAUSTED: JobExhausted,
    FILLING: BacklogFilling,
    ENDING: CertificateEnding,
}


class Notice(Struct, frozen=True):
    """A transition of an integration, as the ledger noted it (lua/parts/notices.lua); times are ms since 1970."""

    kind: Literal["failing", "recovered", "disabled", "filling", "ending"]
    lane: str
    at: int
    since: int = 0
    attempts: int = 0
    percent: int = 0
    why: str = ""
    #: When it will be disabled.
    disable_at: int = 0
    jobs: int = 0
    bytes: int = 0
    most: int = 0
    most_bytes: int = 0
    #: The certificate that runs out, and when.
    field: str = ""
    ends: int = 0


class ExhaustedJobs(Struct, frozen=True):
    """Jobs of an integration that failed for good, and that no event has reported."""

    lane: str
    number: int
    since: int
    job: str
    why: str


def warning_of(notice: Notice | ExhaustedJobs, integration: Integration, api_url: str) -> tuple[str, Warned]:
    """Return the observable key and the data of an event that warns people.

    Args:
        notice: What happened.
        integration: The integration, as it is now.
        api_url: The API's address, under which the console is; empty for no link.
    """
    about: dict[str, Any] = {
        "id": integration.id,
        "name": integration.name,
        "integration_type": integration.integration_type,
        "enabled": integration.enabled,
        "links": ConsoleLinks(console_page(integration, api_url)) if api_url else UNSET,
    }
    if isinstance(notice, ExhaustedJobs):
        about |= {"count": notice.number, "since": rfc3339(notice.since), "reason": notice.why}
        return EXHAUSTED, JobExhausted(**about, last_job=Identifier(notice.job, "integration-job"))
    at, since = rfc3339(notice.at), rfc3339(notice.since)
    match notice.kind:
        case "failing":
            about |= {"since": since, "attempts": notice.attempts, "percent": notice.percent, "reason": notice.why}
            return FAILING, IntegrationFailing(**about, disabled_at=rfc3339(notice.disable_at))
        case "recovered":
            return RECOVERED, IntegrationRecovered(**about, since=since, recovered_at=at)
        case "disabled":
            about |= {"since": since if notice.since else UNSET, "attempts": notice.attempts, "reason": notice.why}
            return DISABLED, IntegrationDisabled(**about, disabled_at=at)
        case "filling":
            about |= {"percent": notice.percent, "jobs": notice.jobs, "jobs_most": notice.most}
            return FILLING, BacklogFilling(**about, bytes=notice.bytes, bytes_most=notice.most_bytes)
        case "ending":
            return ENDING, CertificateEnding(**about, field=notice.field, ends_at=rfc3339(notice.ends))


def console_page(integration: Integration, api_url: str) -> str:
    """Return the address of an integration's page of the console, for the store's people and for operators."""
    scope = {"org": integration.scope.org_id or "", "store": integration.scope.store_id or ""}
    return f"{api_url}/console/integrations/{integration.id}?{urlencode(scope)}"
