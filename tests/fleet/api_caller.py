"""A caller of an API process, with an admin's token."""

from dataclasses import dataclass
from typing import Any

import aiohttp

from tests.fleet.processes import ApiProcess
from tests.samples import issue_token
from tests.waiting import eventually
from worker.ledger import Ledger


@dataclass(frozen=True)
class ApiAnswer:
    status: int
    headers: dict[str, str]
    document: Any


class Caller:
    """Asks the API, with an admin's token."""

    def __init__(self, session: aiohttp.ClientSession, token: str) -> None:
        self._session = session
        self._headers = {"Authorization": f"Bearer {token}"}

    async def get(self, url: str) -> ApiAnswer:
        async with self._session.get(url, headers=self._headers) as answer:
            return ApiAnswer(answer.status, dict(answer.headers), await answer.json(content_type=None))

    async def post(self, url: str, body: Any = None) -> ApiAnswer:
        async with self._session.post(url, json=body, headers=self._headers) as answer:
            return ApiAnswer(answer.status, dict(answer.headers), await answer.json(content_type=None))

    async def readiness(self, api: ApiProcess) -> dict[str, Any]:
        """What /readyz says; its status fits."""
        answer = await self.get(f"{api.url}/readyz")
        assert answer.status == (503 if answer.document["status"] == "red" else 200)
        return dict(answer.document)

    async def becomes(self, api: ApiProcess, status: str) -> dict[str, Any]:
        async def is_so() -> dict[str, Any] | None:
            found = await self.readiness(api)
            return found if found["status"] == status else None

        found: dict[str, Any] = await eventually(is_so, f"it becomes {status}")
        return found


async def caller_of(session: aiohttp.ClientSession, ledger: Ledger) -> Caller:
    return Caller(session, await issue_token(ledger))
