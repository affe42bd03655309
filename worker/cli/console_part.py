"""The console as a part of the API's process. It is imported with the first request for one of its pages."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from worker.api.services.api_services import ApiServices
    from worker.cli.diagnose import Finding
    from worker.console.console_site import ConsoleSite


def console_part(services: "ApiServices") -> Mapping[str, Callable[[web.Request], Awaitable[web.StreamResponse]]]:
    """Return the paths of the console, with what answers them."""
    making: asyncio.Task[ConsoleSite] | None = None

    async def handle(request: web.Request) -> web.StreamResponse:
        nonlocal making
        if making is None:
            # In a thread, so that the import does not hold up other requests.
            making = asyncio.create_task(asyncio.to_thread(_made, services))
        return await (await asyncio.shield(making)).handle(request)

    return {"/console": handle}


def _made(services: "ApiServices") -> "ConsoleSite":
    from worker.console.console_site import ConsoleSite

    return ConsoleSite(services, _doctor)


async def _doctor() -> Sequence["Finding"]:
    from worker.cli.commands.doctor import examine

    findings, _ = await examine(repair=False, quick=True)
    return findings
