"""The description of the API is made once for a process, however often it is asked for."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

from config.observable_events import ObservableKey, load_catalogue
from deliverers.registry import DelivererRegistry
from worker.api.handlers.api_docs import ApiDocs
from worker.api.operations import Operation
from worker.api.request_context import RequestContext
from worker.api.routes import OPERATIONS

ADDED = ObservableKey("warranty.registered", frozenset({"store"}))
TYPES, CATALOGUE = DelivererRegistry.load(), load_catalogue()


def a_call(base: str, catalogue: Any = CATALOGUE) -> RequestContext:
    services = SimpleNamespace(types=TYPES, rules=SimpleNamespace(catalogue=catalogue))
    return cast("RequestContext", SimpleNamespace(services=services, base=base))


class Counted:
    """Docs that count how often they are made."""

    def __init__(self) -> None:
        self.made = 0
        self.docs = ApiDocs(self._operations)

    def _operations(self) -> Sequence[Operation]:
        self.made += 1
        return OPERATIONS


async def test_the_description_and_the_page_are_made_at_the_first_request_only() -> None:
    counted = Counted()
    for _ in range(3):
        await counted.docs.openapi(a_call("https://a.example"))
        await counted.docs.page(a_call("https://a.example"))

    assert counted.made == 1


async def test_each_caller_reads_the_address_that_it_used() -> None:
    docs = Counted().docs
    documents: list[Any] = [
        (await docs.openapi(a_call(base))).document for base in ("https://a.example", "https://b.example")
    ]

    assert [each["servers"] for each in documents] == [[{"url": "https://a.example"}], [{"url": "https://b.example"}]]
    first, second = ({**each, "servers": None} for each in documents)
    assert first == second


async def test_other_observable_keys_are_described_anew() -> None:
    docs = Counted().docs
    await docs.openapi(a_call("https://a.example"))
    document: Any = (await docs.openapi(a_call("https://a.example", load_catalogue([ADDED])))).document

    assert "warranty.registered" in document["components"]["schemas"]["ObservableKey"]["anyOf"][0]["enum"]
