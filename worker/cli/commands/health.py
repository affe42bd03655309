"""`edw health`: asks a process on the same machine for its health; for container engines and scripts without curl."""

from collections.abc import Sequence
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from ipaddress import ip_address

import click

from config.settings import Settings
from worker.cli.cli_session import CommandFailure, read_settings

#: Seconds after which a process without an answer counts as unhealthy.
ANSWER_SECONDS = 3.0
#: Bytes of an answer that are shown; our own answers have a few hundred.
SHOWN_BYTES = 2_000


@click.command(name="health")
@click.argument("process", type=click.Choice(["worker", "api"]), required=False)
@click.option("--ready", is_flag=True, help="Ask whether it is ready for work, instead of whether it is alive.")
def command(process: str | None, ready: bool) -> None:
    """Ask the worker or the API on this machine for its health. Exit codes: 0 healthy; 1 unhealthy, or no answer.

    A worker is asked at EDW_METRICS_PORT or one of the next ports, the API at EDW_API_PORT. Without a name, the first
    process found is asked: a container has only one of them.
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
    raise CommandFailure(f"nobody answers at {tried}: check EDW_API_HOST, EDW_METRICS_PORT and EDW_API_PORT")


def own_address(settings: Settings) -> str:
    """Return the address where processes of this machine answer: loopback for those that listen at every address."""
    host = settings.api_host
    try:
        unspecified = ip_address(host).is_unspecified
    except ValueError:
        return host
    return ("::1" if ":" in host else "127.0.0.1") if unspecified else host


def first_answer(host: str, ports: Sequence[int], path: str) -> tuple[int, str] | None:
    """Return the status and text of the first port that answers for health, or None.

    The search ends at the first port without a listener. It skips an API's metrics port, which may be among the ports
    of workers and knows no health.
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
    """Return the status and text of an answer. Raises OSError or HTTPException if there is none."""
    connection = HTTPConnection(host, port, timeout=ANSWER_SECONDS)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read(SHOWN_BYTES).decode(errors="replace")
    finally:
        connection.close()
