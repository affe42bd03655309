"""A token server, and a receiver that takes only its tokens. Each counts what it got."""

from __future__ import annotations

import asyncio
from base64 import b64decode
from typing import Any
from urllib.parse import parse_qsl, unquote_plus

from aiohttp import web

CLIENT_ID = "shop: 1/ü"
CLIENT_SECRET = "planted-client+secret/%3D"


class OAuthServer:
    """OAuth 2.0 client credentials, by either method of authentication."""

    def __init__(self) -> None:
        #: The form of each request, with the client that authenticated.
        self.asked: list[dict[str, str]] = []
        #: Authorizations that the receiver got, in order.
        self.shown: list[str] = []
        self.revoked: set[str] = set()
        #: In place of the answer with a token: a status and a JSON document or a text.
        self.answer: tuple[int, Any] | None = None
        self.expires_in: Any = 3600
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.is_asked = asyncio.Event()

    async def start(self) -> None:
        application = web.Application()
        application.router.add_post("/token", self._token)
        application.router.add_post("/hook", self._hook)
        self._runner = web.AppRunner(application, shutdown_timeout=1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.endpoint = f"127.0.0.1:{self._runner.addresses[0][1]}"
        self.configuration: dict[str, Any] = {
            "url": f"http://{self.endpoint}/hook",
            "oauth_token_url": f"http://{self.endpoint}/token",
            "oauth_client_id": CLIENT_ID,
            "oauth_client_secret": CLIENT_SECRET,
        }

    async def stop(self) -> None:
        self.may_answer.set()
        await self._runner.cleanup()

    async def _token(self, request: web.Request) -> web.Response:
        form = dict(parse_qsl(await request.text()))
        header = request.headers.get("Authorization", "")
        if header.startswith("Basic "):
            client, _, secret = b64decode(header.removeprefix("Basic ")).decode().partition(":")
            form |= {"client_id": unquote_plus(client), "client_secret": unquote_plus(secret), "by": "basic"}
        self.asked.append(form)
        self.is_asked.set()
        await self.may_answer.wait()
        if self.answer is not None:
            status, document = self.answer
            if isinstance(document, str):
                return web.Response(status=status, text=document)
            return web.json_response(document, status=status)
        if (form.get("client_id"), form.get("client_secret")) != (CLIENT_ID, CLIENT_SECRET):
            said = f"no client {form.get('client_id')} with {form.get('client_secret')}"
            return web.json_response({"error": "invalid_client", "error_description": said}, status=401)
        token = {"access_token": f"planted-token-{len(self.asked)}", "token_type": "bearer"}
        return web.json_response(token | ({} if self.expires_in is None else {"expires_in": self.expires_in}))

    async def _hook(self, request: web.Request) -> web.Response:
        await request.read()
        shown = request.headers.get("Authorization", "")
        self.shown.append(shown)
        is_valid = shown.startswith("Bearer planted-token-") and shown not in self.revoked
        return web.json_response({"got": shown}, status=200 if is_valid else 401)
