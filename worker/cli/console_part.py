"""The console as a part of the API's process. It is imported with the first request for one of its pages."""

import asyncio
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec
from aiohttp import web

from worker.cli.diagnose import Finding, failed

if TYPE_CHECKING:
    from worker.api.services.api_services import ApiServices
    from worker.console.console_site import ConsoleSite

#: Seconds that the checks of `edw doctor` may take.
DOCTOR_SECONDS = 60.0
#: The checks look up names and open connections, so one visitor at a time runs them.
_ONE_DOCTOR = asyncio.Lock()


class _Findings(msgspec.Struct):
    findings: list[Finding]


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


async def _doctor() -> Sequence[Finding]:
    """Run the quick checks in a process of their own, whose settings of logging are not this one's."""
    command = (sys.executable, "-m", "worker.cli", "doctor", "--quick", "--json")
    async with _ONE_DOCTOR:
        process = await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=DEVNULL)
        try:
            async with asyncio.timeout(DOCTOR_SECONDS):
                output, _ = await process.communicate()
        except TimeoutError:
            return [failed("doctor", f"the checks took longer than {DOCTOR_SECONDS:g} s", "run edw doctor yourself")]
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    return msgspec.json.decode(output, type=_Findings).findings
