"""Checks of the machine: settings, secrets, open files, egress."""

import asyncio
import socket
from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit

from config.settings import Settings, unknown_variables
from worker.cli.diagnose import Finding, failed, ok, warning
from worker.domain.humanize import counted
from worker.domain.integration import Integration
from worker.http_server.limits import BACKLOG, deliveries_need, raise_descriptor_limit

#: Seconds that a DNS query, or a connection to the proxy, may take.
DNS_PATIENCE = 3.0


def settings_and_files(settings: Settings) -> Iterator[Finding]:
    """Check for unknown EDW_ variables, the time to drain, and the limit of open files."""
    unknown = unknown_variables()
    if unknown:
        yield warning("settings", "; ".join(unknown), "correct or remove them")
    else:
        yield ok("settings", "every EDW_ variable is known")
    if 0 < settings.drain_seconds < settings.webhook_timeout_max:
        yield warning(
            "draining",
            f"EDW_DRAIN_SECONDS={settings.drain_seconds:g}s, and an integration may wait for"
            f" EDW_WEBHOOK_TIMEOUT_MAX={settings.webhook_timeout_max:g}s",
            "attempts that take longer are interrupted when a worker stops, and repeated: raise EDW_DRAIN_SECONDS with"
            " the time that your system gives a process to stop, or lower EDW_WEBHOOK_TIMEOUT_MAX",
        )
    needed = deliveries_need(settings) + settings.metrics_connections + BACKLOG
    limit = raise_descriptor_limit()
    seen = f"{limit} (EDW_MAX_IN_FLIGHT={settings.max_in_flight} needs {needed})"
    if limit < needed:
        yield failed(
            "open files", seen, "raise it (`ulimit -n`, or LimitNOFILE= in systemd), or lower EDW_MAX_IN_FLIGHT"
        )
    else:
        yield ok("open files", seen)


def secrets(keys: int, unreadable: Sequence[Integration], total: int) -> Finding:
    """Check that `keys` keys open every secret; `unreadable` lists integrations with a secret that no key opens."""
    if unreadable:
        names = ", ".join(each.id for each in unreadable[:5])
        advice = "add the key that sealed them to EDW_SECRETS_KEYS, or give their secrets again"
        return failed(
            "secrets", f"{counted(len(unreadable), 'integration')} with a secret that no key opens: {names}", advice
        )
    if not keys:
        advice = "set EDW_SECRETS_KEYS; without it, no integration with a secret can be registered"
        return warning("secrets", f"no key, and none is needed by {counted(total, 'integration')}", advice)
    return ok(
        "secrets", f"{counted(keys, 'key')} for the secrets of {counted(total, 'integration')}: all can be opened"
    )


async def egress(settings: Settings, hosts: Sequence[str]) -> list[Finding]:
    """Check the proxy, or the host names of some receivers."""
    if settings.egress_proxy is not None:
        return [await _proxy(settings.egress_proxy.get_secret_value())]
    if not hosts:
        return [ok("egress", "no receiver with a host name to look up")]
    return [await _names(hosts)]


async def _proxy(url: str) -> Finding:
    parts = urlsplit(url)
    where = f"{parts.hostname}:{parts.port or 80}"
    try:
        async with asyncio.timeout(DNS_PATIENCE):
            _, writer = await asyncio.open_connection(parts.hostname, parts.port or 80)
        writer.close()
    except (OSError, TimeoutError) as error:
        return failed(
            "egress", f"the proxy {where} cannot be reached: {str(error) or 'no answer'}", "check EDW_EGRESS_PROXY"
        )
    return ok("egress", f"the proxy {where} takes connections")


async def _names(hosts: Sequence[str]) -> Finding:
    loop, unknown = asyncio.get_running_loop(), []
    for host in hosts:
        try:
            async with asyncio.timeout(DNS_PATIENCE):
                await loop.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except (OSError, TimeoutError):
            unknown.append(host)
    if not unknown:
        return ok("egress", f"known to DNS: {counted(len(hosts), 'receiver')} of those registered")
    seen = f"{len(unknown)} of {len(hosts)} receivers' names are not known to DNS: {', '.join(unknown[:5])}"
    if len(unknown) == len(hosts):
        return failed(
            "egress", seen, "check this machine's DNS (/etc/resolv.conf), and whether it can reach the internet"
        )
    return warning("egress", seen, "their integrations fail: inform those who registered them")
