"""`edw demo`: delivers one event before the user's eyes, and checks the result."""

import asyncio

import click
import msgspec
from rich.console import Console
from rich.syntax import Syntax
from rich.text import Text

from worker.cli.cli_session import EXIT_FAILED, CommandFailure, reported_errors
from worker.cli.commands.status import balances_table
from worker.cli.console import cells, console, table
from worker.cli.demo.play import DemoError, play
from worker.cli.demo.promises import Play, differences
from worker.cli.demo.receiver import ReceivedRequest
from worker.cli.demo.stage import staged
from worker.cli.log_lines import attempts_table
from worker.cli.supervision import Signals, first_of, over


@click.command(name="demo")
def command() -> None:
    """Deliver one event on this machine, in seconds, and check it.

    The demo starts an embedded Redis, a Celery worker and a receiver, and publishes an order.paid. The receiver
    refuses attempt 1 and takes attempt 2. The result is compared with what is promised; the exit code is 1 if anything
    differs. Nothing is left behind.
    """
    with reported_errors():
        raise SystemExit(asyncio.run(_run()))


async def _run() -> int:
    signals = Signals.of_this_process()
    playing = asyncio.create_task(_play_demo())
    try:
        await first_of(over(playing), signals.stop.wait())
        if not playing.done():
            click.echo("stopped: cleaning up", err=True)
        return playing.result() if playing.done() else EXIT_FAILED
    finally:
        playing.cancel()
        await asyncio.gather(playing, return_exceptions=True)


async def _play_demo() -> int:
    out = console()
    began = asyncio.get_running_loop().time()

    def say(text: str) -> None:
        at = asyncio.get_running_loop().time() - began
        out.print(Text(f"{at:5.1f} s  ", "dim"), Text(text), sep="", soft_wrap=True)

    say("starting an embedded Redis, a Celery worker and a receiver on loopback")
    async with staged() as stage:
        say(f"Redis is up, the receiver listens at {stage.receiver.url}")
        say(f"the worker starts, as process {stage.worker.pid}: celery -A worker.app worker")
        try:
            played = await play(stage, say)
        except DemoError as error:
            raise CommandFailure(str(error)) from None
        _show(out, played)
        say("stopping the worker, then Redis")
        if not await stage.worker.stop():
            raise CommandFailure(f"the worker did not stop. The end of its log:\n{stage.end_of_log()}")
    return _judge(out, differences(played))


def _show(out: Console, played: Play) -> None:
    _heading(out, "The IntegrationLogs")
    out.print(attempts_table(played.logs))
    _heading(out, "The balance")
    out.print(balances_table(played.status))
    last = played.received[-1]
    _heading(out, "The headers that the receiver got with attempt 2")
    _show_headers(out, last)
    _heading(out, f"The body that it got: {len(last.body):,} bytes, indented here")
    text = msgspec.json.format(last.body, indent=2).decode()
    out.print(
        Syntax(text, "json", word_wrap=True, background_color="default") if out.is_terminal else Text(text),
        soft_wrap=True,
    )
    out.print()


def _show_headers(out: Console, request: ReceivedRequest) -> None:
    headers = table("header", "value")
    headers.show_header = False
    for name, value in request.headers.items():
        headers.add_row(*cells(name, value))
    out.print(headers)


def _heading(out: Console, text: str) -> None:
    out.print()
    out.print(Text(text, "bold"))


def _judge(out: Console, found: list[str]) -> int:
    if not found:
        out.print(Text("All as promised.", "bold green"))
        return 0
    out.print(Text("Not as promised:", "bold red"))
    for each in found:
        out.print(Text(f"  {each}"), soft_wrap=True)
    return EXIT_FAILED
