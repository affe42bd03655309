"""`edw clock`: shows the ledger's time, and confirms a leap of Redis's clock."""

from time import time

import click

from worker.cli.cli_session import run, session
from worker.cli.console import json_option, print_json
from worker.domain.event import rfc3339
from worker.domain.humanize import duration
from worker.domain.ledger_time import LedgerClock


@click.group(name="clock")
def command() -> None:
    """Show the ledger's time, and confirm a forward leap of Redis's clock.

    The ledger's time is Redis's clock plus an offset, and never goes back. A forward leap of more than a minute that no
    process can explain is held back for ten minutes: sweeps end, expire and take over nothing.
    """


@command.command("show")
@json_option
def show(as_json: bool) -> None:
    """Show the ledger's time, and how far Redis's clock and this machine's are off it."""

    async def work() -> None:
        async with session() as at:
            clock = await at.ledger.membership.read()
        ahead = time() - clock.now / 1000
        if as_json:
            print_json(
                {
                    "ledger": rfc3339(clock.now),
                    "redis_ahead_seconds": -clock.offset / 1000,
                    "here_ahead_seconds": ahead,
                    "held_seconds": clock.held / 1000,
                }
            )
            return
        click.echo(f"ledger   {rfc3339(clock.now)}")
        click.echo(f"redis    {rfc3339(clock.store)}, {_off(-clock.offset)}")
        click.echo(f"here     {rfc3339(round(time() * 1000))}, {_off(round(ahead * 1000))}")
        click.echo(f"held     {_held(clock)}")

    run(work())


@command.command("confirm")
def confirm() -> None:
    """Make Redis's clock the ledger's time, after you have checked that it is right.

    Jobs whose deadline is then over end, and attempts of dead processes are taken over. Ledger time never goes back: if
    it is ahead of Redis's clock, nothing changes. Exit code: 0, also if there was nothing to confirm.
    """

    async def work() -> None:
        async with session() as at:
            advanced = await at.ledger.membership.confirm()
        if advanced is None:
            click.echo("nothing to confirm: ledger time is not behind Redis's clock")
        else:
            click.echo(f"confirmed: ledger time went forward by {duration(advanced)}")

    run(work())


def _off(milliseconds: int) -> str:
    """Return how far a clock is off ledger time, in words."""
    return f"{duration(abs(milliseconds))} {'ahead of' if milliseconds >= 0 else 'behind'} the ledger"


def _held(clock: LedgerClock) -> str:
    if not clock.held:
        return "no leap is held back"
    since = duration(clock.now - clock.held_at)
    return f"a leap of {duration(clock.held)}, for {since}; if Redis's clock is right: edw clock confirm"
