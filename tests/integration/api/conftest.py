"""The API as its clients have it: the real application, over a real socket, on a real store."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import Any

import aiohttp
import pytest
from aiohttp import hdrs, web
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from config.settings import Settings
from tests.counterparts.redis_server import RedisServer
from tests.integration.ledger.audit import Books
from tests.integration.ledger.scene import SCOPE, Scene
from tests.integration.process.conftest import (  # noqa: F401  (fixtures are found by their names here)
    Receiver,
    books,
    broker_url,
    environment,
    receiver,
    settings,
    start_worker,
)
from worker.api.application import application
from worker.api.server import rooms_of
from worker.api.services.api_services import ApiServices
from worker.domain.api_token import Role, Token, TokenKind, digest_of, make_secret, new_id, written
from worker.domain.event import Scope
from worker.ledger import Ledger

#: Another store of the same organisation.
ELSEWHERE = Scope(SCOPE.org_id, "store-2")
JSON_TYPE = "application/json"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    headers: CIMultiDictProxy[str]
    raw: bytes

    @property
    def document(self) -> Any:
        return json.loads(self.raw)

    @property
    def data(self) -> Any:
        return self.document["data"]

    @property
    def errors(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.document["errors"]
        return found

    @property
    def pointers(self) -> list[str]:
        """What in the body the errors are about."""
        return [error["source"]["pointer"] for error in self.errors]

    @property
    def etag(self) -> str:
        return self.headers[hdrs.ETAG]


class Client:
    """Asks the API, with one token or none. Paths go out as they are written; a query is quoted."""

    def __init__(self, session: aiohttp.ClientSession, base: str, token: str | None) -> None:
        self._session = session
        self._base = base
        self.token = token

    async def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        query: Mapping[str, str | int] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """One request; a body of bytes goes out as it is, anything else as JSON."""
        url = URL((path if path.startswith("http") else self._base + path), encoded=True)
        sent = CIMultiDict(headers or {})
        if self.token is not None:
            sent.setdefault(hdrs.AUTHORIZATION, f"Bearer {self.token}")
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        if body is not None:
            sent.setdefault(hdrs.CONTENT_TYPE, JSON_TYPE)
        async with self._session.request(
            method, url.update_query(query) if query else url, data=body, headers=sent, allow_redirects=False
        ) as response:
            return Answer(response.status, response.headers, await response.read())

    async def get(self, path: str, headers: Mapping[str, str] | None = None, **query: str | int) -> Answer:
        """GET; `limit` and `offset` are those of a page."""
        pages = {"limit": "page[limit]", "offset": "page[offset]", "filtered": "filter"}
        return await self.ask("GET", path, None, {pages.get(name, name): each for name, each in query.items()}, headers)

    async def post(self, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Answer:
        return await self.ask("POST", path, body, headers=headers)

    async def put(self, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Answer:
        return await self.ask("PUT", path, body, headers=headers)

    async def delete(self, path: str, headers: Mapping[str, str] | None = None) -> Answer:
        return await self.ask("DELETE", path, headers=headers)

    async def create(self, **changes: Any) -> dict[str, Any]:
        """A new integration, as it was answered."""
        answer = await self.post("/v2/integrations", {"data": webhook(**changes)})
        assert answer.status == 201, answer.raw
        created: dict[str, Any] = answer.data
        return created


@dataclass(frozen=True, slots=True)
class Api:
    """A served API."""

    url: str
    rooms: ApiServices
    session: aiohttp.ClientSession

    @property
    def ledger(self) -> Ledger:
        return self.rooms.ledger

    def client(self, token: str | None = None) -> Client:
        """Somebody with this token, or with none."""
        return Client(self.session, self.url, token)

    async def token(
        self,
        role: Role = Role.ADMIN,
        scope: Scope = SCOPE,
        *,
        platform: bool = False,
        kind: TokenKind = TokenKind.TOKEN,
    ) -> str:
        """A new token, as its bearer sends it."""
        token_id, secret = new_id(), make_secret()
        await self.ledger.tokens.put(
            Token(token_id, kind, role, Scope() if platform else scope, platform, digest=digest_of(secret))
        )
        return written(token_id, secret)

    async def someone(self, role: Role = Role.ADMIN, scope: Scope = SCOPE, *, platform: bool = False) -> Client:
        """Somebody with a new token."""
        return self.client(await self.token(role, scope, platform=platform))


def webhook(**changes: Any) -> dict[str, Any]:
    """The attributes of a small integration."""
    attributes: dict[str, Any] = {
        "type": "integration",
        "name": "ERP",
        "integration_type": "webhook",
        "observes": ["order.paid"],
        "configuration": {"url": "https://erp.example/hook"},
    }
    return attributes | changes


Serve = Callable[..., Awaitable[Api]]


@pytest.fixture
async def serve(settings: Settings) -> AsyncIterator[Serve]:  # noqa: F811  (a fixture's name is what is asked for)
    """Serves the API with some settings changed: `await serve(api_body_limit=1024)`."""
    async with AsyncExitStack() as stack:

        async def start(**changes: Any) -> Api:
            rooms = await stack.enter_async_context(rooms_of(settings.model_copy(update=changes)))
            await rooms.ledger.open()
            runner = web.AppRunner(application(rooms), access_log=None, shutdown_timeout=0.1)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            session = await stack.enter_async_context(aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()))
            return Api(f"http://127.0.0.1:{runner.addresses[0][1]}", rooms, session)

        yield start


@pytest.fixture
async def api(serve: Serve) -> Api:
    """The API as the settings of all these tests have it."""
    return await serve()


@pytest.fixture
async def admin(api: Api) -> Client:
    """An admin of SCOPE."""
    return await api.someone()


@pytest.fixture
async def reader(api: Api) -> Client:
    """Somebody who may read what SCOPE has."""
    return await api.someone(Role.READ)


@pytest.fixture
async def scene(api: Api, redis_server: RedisServer) -> AsyncIterator[Scene]:
    """What a worker would do to the ledger of the API, in short verbs; its books must balance in the end."""
    async with AsyncExitStack() as others:

        async def another(url: str = "", **policy: Any) -> Ledger:
            opened = Ledger(url or redis_server.url, replace(api.ledger.policy, **policy))
            others.push_async_callback(opened.close)
            await opened.open()
            return opened

        played = Scene(api.ledger, another)
        yield played
        await balanced(api.ledger, played)


async def balanced(ledger: Ledger, played: Scene | None = None) -> None:
    """Nothing that the ledger has contradicts anything else in it."""
    assert (await Books.read(ledger)).problems(played.outstanding if played else ()) == []
