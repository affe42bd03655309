"""`edw doctor`: checks everything that an installation depends on, and says what to do."""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from time import time
from urllib.parse import urlsplit

import click
from rich.console import Console
from rich.text import Text

from config.settings import Settings
from worker.cli.cli_session import EXIT_FAILED, EXIT_NO_REDIS, CliSession, CommandFailure, read_settings, session
from worker.cli.console import console, json_option, print_json
from worker.cli.diagnose import (
    Finding,
    Grade,
    broker_checks,
    failed,
    host_checks,
    ledger_checks,
    ok,
    redis_checks,
    version_checks,
)
from worker.cli.keys import secrets_keys
from worker.domain.humanize import counted
from worker.domain.integration import Integration
from worker.domain.sealing import opened
from worker.domain.secrets_box import SecretsBox, SecretsError
from worker.ledger import LedgerError
from worker.ledger.connection.endpoints import NoRedisError, find_endpoints
from worker.ledger.connection.permissions import EVERYTHING
from worker.ledger.connection.redis_condition import read_condition
from worker.ledger.inspection.audit import Audit, AuditReport

#: Receivers whose host names are looked up.
NAMES_LOOKED_UP = 20

_REDIS_ADVICE = "nothing is accepted or delivered until it answers; check its log and EDW_REDIS_URL"

_REFUSED_ADVICE = "nothing is accepted or delivered until this is fixed; see deploy/RUNBOOK.md on the Redis user"

_STYLES = {Grade.OK: "green", Grade.WARNING: "yellow", Grade.FAILED: "bold red"}


@click.command(name="doctor")
@click.option("--repair", is_flag=True, help="Repair what the audit of the ledger finds.")
@click.option("--quick", is_flag=True, help="Skip the audit, which reads every job, lane and event.")
@click.option("--strict", is_flag=True, help="Exit with 1 for warnings too.")
@json_option
def command(repair: bool, quick: bool, strict: bool, as_json: bool) -> None:
    """Check settings, Redis, ledger, broker, egress, secrets and limits, and say what to do.

    The audit checks that every pending job is in exactly one place where a sweep finds it. It runs beside a working
    fleet, a few milliseconds at a time. Exit code: 0 for nothing worse than a warning, 1 if something failed, 3 if
    Redis is missing or does not answer.
    """
    if repair and quick:
        raise click.UsageError("--repair needs the audit, which --quick skips: give one of the two")
    findings, code = asyncio.run(_examine(repair=repair, quick=quick))
    if as_json:
        print_json({"findings": [asdict(each) for each in findings], "worst": _worst(findings)})
    else:
        _print_findings(console(), findings)
    if code == 0 and strict and _worst(findings) is Grade.WARNING:
        code = EXIT_FAILED
    raise SystemExit(code)


async def _examine(*, repair: bool, quick: bool) -> tuple[list[Finding], int]:
    settings = read_settings()
    findings, code = [*host_checks.settings_and_files(settings)], 0
    try:
        findings += await _of_the_ledger(repair=repair, quick=quick)
    except CommandFailure as failure:
        advice = _REDIS_ADVICE if failure.exit_code == EXIT_NO_REDIS else _REFUSED_ADVICE
        findings.append(failed("redis", failure.message, advice))
        code = failure.exit_code
    findings += await _of_the_history(settings)
    findings += await asyncio.to_thread(lambda: list(_of_the_broker(settings)))
    if code == 0 and _worst(findings) is Grade.FAILED:
        code = EXIT_FAILED
    return findings, code


async def _of_the_ledger(*, repair: bool, quick: bool) -> list[Finding]:
    async with session() as at:
        condition = await read_condition(at.ledger.redis)
        findings = [ok("redis", f"{at.ledger.address} answers"), ok("redis user", _user(at))]
        findings += redis_checks.judge(
            condition, wait_replicas=at.settings.ledger_wait_replicas, high_water=at.settings.memory_high_water
        )
        findings += ledger_checks.judge(await at.ledger.status.read(), await at.ledger.status.workers())
        membership = at.ledger.membership
        findings += version_checks.judge_clock(await membership.read(), round(time() * 1000))
        findings.append(version_checks.judge_versions(await membership.members(), membership.in_force))
        if not quick:
            findings += ledger_checks.judge_audit(await _audit(at, repair=repair), repaired=repair)
        registered = await _registered(at)
        keys = len(secrets_keys(at.settings))
        findings.append(host_checks.secrets(keys, registered.unreadable, registered.total))
        findings += await host_checks.egress(at.settings, registered.hosts)
        return findings


async def _of_the_history(settings: Settings) -> list[Finding]:
    if settings.history_url is None:
        return []
    from worker.cli.diagnose import history_checks
    from worker.history.database import HistoryDatabase
    from worker.history.inspection import read_status

    database = HistoryDatabase(settings.history_url.get_secret_value())
    try:
        async with session() as at:
            outbox, now = await at.ledger.outbox.lag(), await at.ledger.redis.now()
        return list(history_checks.judge(await database.read(read_status), database.address, outbox, now))
    except LedgerError as error:
        return [failed("history", str(error), "deploy/RUNBOOK.md#historyfallingbehind")]
    except CommandFailure:
        # The check of Redis has reported it.
        return []
    finally:
        await database.close()


def _user(at: CliSession) -> str:
    # Opening the ledger has checked this.
    return f"{at.ledger.redis.server.user} may run all {len(EVERYTHING)} commands that the ledger needs"


def _of_the_broker(settings: Settings) -> Iterator[Finding]:
    try:
        url = find_endpoints(settings).broker_url
    except NoRedisError:
        # The check of Redis has reported it.
        return
    yield from broker_checks.examine(settings, url)


async def _audit(at: CliSession, *, repair: bool) -> AuditReport:
    with console(stderr=True).status("auditing") as line:

        def progress(report: AuditReport) -> None:
            line.update(f"audited {report.events:,} events, {report.jobs:,} jobs, {report.lanes:,} lanes")

        return await Audit(at.ledger.redis, progress).run(repair=repair)


@dataclass(slots=True)
class _Registered:
    """What the checks need to know about the integrations."""

    total: int = 0
    #: Integrations with a secret that cannot be decrypted.
    unreadable: list[Integration] = field(default_factory=list)
    #: Host names of some receivers.
    hosts: list[str] = field(default_factory=list)


async def _registered(at: CliSession) -> _Registered:
    secrets, found, seen, cursor = SecretsBox(secrets_keys(at.settings)), _Registered(), set[str](), 0
    while True:
        cursor, some = await at.ledger.integrations.scan(cursor)
        for each in some:
            if each.id not in seen:
                seen.add(each.id)
                _note(at, secrets, each, found)
        if cursor == 0:
            return found


def _note(at: CliSession, secrets: SecretsBox, integration: Integration, found: _Registered) -> None:
    found.total += 1
    try:
        opened(integration, at.types, secrets)
    except SecretsError:
        found.unreadable.append(integration)
    for host_name in _hosts(integration):
        if len(found.hosts) < NAMES_LOOKED_UP and host_name not in found.hosts:
            found.hosts.append(host_name)


def _hosts(integration: Integration) -> Iterable[str]:
    configuration = integration.configuration
    urls = [configuration.get("url"), *(configuration.get("addresses") or ())]
    for url in urls:
        try:
            name = urlsplit(url).hostname if isinstance(url, str) else None
        except ValueError:
            continue
        if name and integration.enabled:
            yield name


def _worst(findings: Sequence[Finding]) -> Grade:
    return max((each.grade for each in findings), key=list(Grade).index, default=Grade.OK)


def _print_findings(out: Console, findings: Sequence[Finding]) -> None:
    width = max(len(each.subject) for each in findings)
    for each in findings:
        line = Text.assemble((f"{each.grade:<7}", _STYLES[each.grade]), f"  {each.subject:<{width}}  {each.seen}")
        out.print(line, soft_wrap=True)
        if each.advice:
            out.print(Text(f"{'':<7}  {'':<{width}}  → {each.advice}", "dim"), soft_wrap=True)
    count = {grade: sum(each.grade is grade for each in findings) for grade in Grade}
    out.print()
    warnings = counted(count[Grade.WARNING], "warning")
    out.print(Text(f"{count[Grade.OK]} ok, {warnings}, {count[Grade.FAILED]} failed"))
