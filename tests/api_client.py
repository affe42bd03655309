"""A served API, and its clients: the real application, over a real socket, on a real Redis server."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
from aiohttp import hdrs
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from config.settings import Settings
from tests.ledger.audit import LedgerContents
from tests.ledger.scene import LedgerScene
from tests.samples import SCOPE, issue_token
from worker.api.server import Parts, no_parts, services_of, site_of
from worker.api.services.api_services import ApiServices
from worker.domain.api_token import Role, TokenKind
from worker.domain.event import Scope
from worker.http_server.limits import HttpLimits
from worker.ledger import Ledger

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
    services: ApiServices
    session: aiohttp.ClientSession

    @property
    def ledger(self) -> Ledger:
        return self.services.ledger

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
        """Make a token, and return it as its bearer sends it."""
        return await issue_token(self.ledger, role, scope, platform=platform, kind=kind)

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


@asynccontextmanager
async def served(settings: Settings, limits: HttpLimits | None = None, parts: Parts = no_parts) -> AsyncIterator[Api]:
    """Serve the API on a port of its own, within the limits for its HTTP server, with other parts under other paths."""
    async with AsyncExitStack() as stack:
        services = await stack.enter_async_context(services_of(settings))
        await services.ledger.open()
        site = site_of(services, limits or HttpLimits(connections=100), parts)
        await site.open()
        stack.push_async_callback(site.close)
        await site.listen("127.0.0.1", 0)
        session = await stack.enter_async_context(aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()))
        yield Api(f"http://127.0.0.1:{site.addresses[0][1]}", services, session)


async def accepted(api: Api) -> int:
    """Return how many events were accepted."""
    return (await api.ledger.status.read()).counter("accepted")


async def consistent(ledger: Ledger, played: LedgerScene | None = None) -> None:
    """Assert that nothing that the ledger has contradicts anything else in it."""
    problems = (await LedgerContents.read(ledger)).problems(played.outstanding if played else ())
    assert problems == []
