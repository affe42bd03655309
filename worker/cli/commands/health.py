"""`edw health`: asks a process that runs beside this one, for container engines and scripts without curl."""

from collections.abc import Sequence
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from ipaddress import ip_address

import click

from config.settings import Settings
from worker.cli.cli_session import CommandFailure, read_settings

#: A process that does not answer within so many seconds is not well.
ANSWER_SECONDS = 3.0
#: So much of an answer is shown; our own have a few hundred bytes.
SHOWN_BYTES = 2_000


@click.command(name="health")
@click.argument("process", type=click.Choice(["worker", "api"]), required=False)
@click.option("--ready", is_flag=True, help="Ask whether work should come here, in place of whether it runs.")
def command(process: str | None, ready: bool) -> None:
    """Ask the worker or the API on this machine how it is. Exit codes: 0 well, 1 not well, or nobody answers.

    A worker is asked at EDW_METRICS_PORT, or the next port where there is one, the API at EDW_API_PORT. Without a name,
    whichever is found first: as a container has one of them.
    """
    settings = read_settings()
    ports: dict[str, Sequence[int]] = {"worker": settings.metrics_ports, "api": (settings.api_port,)}
    asked = [process] if process else list(ports)
    path = "/readyz" if ready else "/healthz"
    host = own_address(settings)
    for name in asked:
        if answer := first_answer(host, ports[name], path):
            status, body = answer
            click.echo(body)
            raise SystemExit(0 if status == HTTPStatus.OK else 1)
    tried = " or ".join(f"{host}:{ports[name][0]}" for name in asked)
    raise CommandFailure(f"nobody answers at {tried}: see EDW_API_HOST, EDW_METRICS_PORT and EDW_API_PORT")


def own_address(settings: Settings) -> str:
    """Where a process of this machine is asked: one that listens at every address does so on loopback, too."""
    host = settings.api_host
    try:
        unspecified = ip_address(host).is_unspecified
    except ValueError:
        return host
    return ("::1" if ":" in host else "127.0.0.1") if unspecified else host


def first_answer(host: str, ports: Sequence[int], path: str) -> tuple[int, str] | None:
    """The status and the text of the first answer that is one, as far as there is somebody who listens.

    An API's own metrics are at a port where its worker's may be looked for, and say nothing of health.
    """
    for port in ports:
        try:
            status, body = ask(host, port, path)
        except HTTPException:
            continue
        except OSError:
            return None
        if status != HTTPStatus.NOT_FOUND:
            return status, body
    return None


def ask(host: str, port: int, path: str) -> tuple[int, str]:
    """The status and the text of an answer. Raises OSError or HTTPException where there is none."""
    connection = HTTPConnection(host, port, timeout=ANSWER_SECONDS)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read(SHOWN_BYTES).decode(errors="replace")
    finally:
        connection.close()
