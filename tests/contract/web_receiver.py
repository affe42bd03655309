"""A well-behaved webhook receiver, as the contract suite wants it."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from deliverers.testing import Counterpart

PLANTED = "a-key-that-nobody-may-see"
QUERY = "token-in-the-query"


class WebReceiver(Counterpart):
    """An aiohttp server that keeps what it got, and echoes the headers as debugging receivers do."""

    secrets = (PLANTED, QUERY)

    def __init__(self) -> None:
        self.requests: list[tuple[Mapping[str, str], bytes]] = []
        self.connections: set[object] = set()
        self.status = 200
        self._silent = False
        self._stopped = asyncio.Event()
        self._runner: web.AppRunner | None = None

    async def start(self, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> None:
        application = web.Application()
        application.router.add_post("/hook", self._answer)
        self._runner = web.AppRunner(application, shutdown_timeout=1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=tls)
        await site.start()
        port = self._runner.addresses[0][1]
        scheme = "https" if tls else "http"
        self.configuration = {"url": f"{scheme}://{host}:{port}/hook?t={QUERY}", "secret_key": PLANTED}

    async def _answer(self, request: web.Request) -> web.Response:
        body = await request.read()
        if self._silent:
            await self._stopped.wait()
        self.connections.add(request.transport)
        self.requests.append((dict(request.headers), body))
        return web.json_response({"headers": dict(request.headers)}, status=self.status)

    async def received(self) -> list[Mapping[str, Any]]:
        return [json.loads(body) for _, body in self.requests]

    def refuse(self) -> None:
        self.status = 400

    def fall_silent(self) -> None:
        self._silent = True

    async def stop(self) -> None:
        self._stopped.set()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
