"""Checks of the fleet's versions and of the ledger's time."""

from collections.abc import Iterator, Sequence

from worker.cli.diagnose import Finding, failed, ok, warning
from worker.domain.format_version import FORMAT, MINOR
from worker.domain.humanize import duration
from worker.domain.ledger_time import LedgerClock
from worker.ledger.membership import Member

#: Milliseconds that two clocks may differ. More makes the times of events and receivers' Retry-After dates wrong.
CLOCK_TOLERANCE = 2_000
#: Processes that a finding names.
NAMED = 5


def judge_versions(members: Sequence[Member], in_force: int) -> Finding:
    """Check which minor version is in force, and name the processes that hold a newer one back."""
    seen = f"format {FORMAT}, minor version {in_force} in force; this build understands {MINOR}"
    newest = max((MINOR, *(each.minor for each in members)))
    older = [each for each in members if each.minor < newest]
    if not older:
        return ok("versions", seen)
    names = ", ".join(f"{each.kind} {each.owner} (understands {each.minor})" for each in older[:NAMED])
    return warning("versions", f"{seen}; held back by {len(older)}: {names}", "finish the upgrade: replace them")


def judge_clock(clock: LedgerClock, here: int) -> Iterator[Finding]:
    """Check Redis's clock and this machine's (`here`, ms since 1970) against the ledger's time."""
    subject = "ledger time"
    if clock.held:
        seen = f"a leap of Redis's clock by {duration(clock.held)} is held back: sweeps end and take over nothing"
        yield failed(subject, seen, "check Redis's clock; if it is right, edw clock confirm")
    elif abs(clock.offset) > CLOCK_TOLERANCE:
        where = "ahead of" if clock.offset > 0 else "behind"
        advice = "correct Redis's clock" if clock.offset > 0 else "if Redis's clock is right, edw clock confirm"
        yield warning(subject, f"{duration(abs(clock.offset))} {where} Redis's clock", advice)
    else:
        yield ok(subject, "as Redis's clock")
    off = here - clock.now
    if abs(off) > CLOCK_TOLERANCE:
        where = "ahead of" if off > 0 else "behind"
        advice = "run a time service (chrony, systemd-timesyncd) on this machine and on Redis's"
        yield warning("this clock", f"{duration(abs(off))} {where} the ledger's time", advice)
    else:
        yield ok("this clock", f"{duration(abs(off))} off the ledger's time")
