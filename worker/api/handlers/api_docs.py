"""Handlers of `/openapi.json` and of the page that shows it to people, without scripts or foreign resources."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import msgspec

from config.observable_events import Catalogue
from deliverers.registry import DelivererRegistry
from worker.api.openapi import openapi_document
from worker.api.operations import Operation
from worker.api.request_context import Reply, RequestContext

_STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
code, pre { font-family: ui-monospace, monospace; font-size: .9em; }
h2 { border-top: 1px solid #8884; padding-top: 1rem; margin-top: 2rem; font-size: 1.15rem; }
h2 b { display: inline-block; min-width: 4.5rem; }
table { border-collapse: collapse; width: 100%; }
td, th { text-align: left; vertical-align: top; padding: .2rem 1rem .2rem 0; }
details pre { overflow-x: auto; background: #8881; padding: .7rem; border-radius: .4rem; }
nav li { margin: .15rem 0; }
"""


class ApiDocs:
    """Handlers that describe all operations of the API, including their own.

    Args:
        operations: Returns the operations; called for each request, since these handlers are among them.
    """

    def __init__(self, operations: Callable[[], Sequence[Operation]]) -> None:
        self._operations = operations
        self._made: _Description | None = None

    async def openapi(self, call: RequestContext) -> Reply:
        """Return the description of this API in OpenAPI 3.1."""
        return Reply({**self._description(call).document, "servers": [{"url": call.base}]})

    async def page(self, call: RequestContext) -> Reply:
        """Return the same description as an HTML page."""
        return Reply(self._description(call).page, content_type="text/html; charset=utf-8")

    def _description(self, call: RequestContext) -> "_Description":
        """Return the description for the deliverers and the catalogue of this process, made at the first request.

        Making it takes many milliseconds of the event loop, and any token may ask for it again and again.
        """
        types, catalogue = call.services.types, call.services.rules.catalogue
        made = self._made
        if made is None or made.types is not types or made.catalogue is not catalogue:
            document = openapi_document(self._operations(), types, catalogue, product_version(), "")
            made = self._made = _Description(types, catalogue, document, "".join(_page(document)).encode())
        return made


@dataclass(frozen=True, slots=True)
class _Description:
    """What was made, and of what. The document lacks the address of its server: each request has its own."""

    types: DelivererRegistry
    catalogue: Catalogue
    document: Mapping[str, Any]
    page: bytes


def _page(document: Mapping[str, Any]) -> Iterator[str]:
    title = escape(document["info"]["title"])
    yield f"<!doctype html><html lang=en><meta charset=utf-8><title>{title}</title><style>{_STYLE}</style>"
    yield f"<h1>{title} {escape(document['info']['version'])}</h1><p>{escape(document['info']['description'])}</p>"
    yield "<p>For programs: <a href=/openapi.json>openapi.json</a> (OpenAPI 3.1).</p><nav><ul>"
    operations = [
        (path, method, each) for path, methods in document["paths"].items() for method, each in methods.items()
    ]
    for path, method, each in operations:
        name = escape(each["operationId"])
        yield f"<li><a href=#{name}><code>{method.upper()} {escape(path)}</code></a> {escape(each['summary'])}"
    yield "</ul></nav>"
    for path, method, each in operations:
        yield f"<h2 id={escape(each['operationId'])}><b>{method.upper()}</b> <code>{escape(path)}</code></h2>"
        yield f"<p>{escape(each['summary'])}. {escape(each['description'])}</p>"
        yield from _parameters(each["parameters"])
        if body := each.get("requestBody"):
            yield f"<p>Body{'' if body['required'] else ' (optional)'}:</p>"
            yield from (_schema(kind, content["schema"]) for kind, content in body["content"].items())
        yield "<table><tr><th>status<th>"
        for status, answer in each["responses"].items():
            yield f"<tr><td>{escape(status)}<td>{escape(answer['description'])}"
            if status < "400":
                yield from (_schema(kind, content["schema"]) for kind, content in answer.get("content", {}).items())
        yield "</table>"
    yield "<h1>Schemas</h1>"
    for name, schema in document["components"]["schemas"].items():
        yield f"<h2 id=schema-{escape(name)}>{escape(name)}</h2><p>{escape(schema.get('description', ''))}</p>"
        yield _schema("as JSON Schema", schema)
    yield "</html>"


def _parameters(parameters: list[Mapping[str, Any]]) -> Iterator[str]:
    if not parameters:
        return
    yield "<table><tr><th>parameter<th>in<th>"
    for each in parameters:
        yield f"<tr><td><code>{escape(each['name'])}</code><td>{escape(each['in'])}"
        yield f"<td>{escape(each.get('description', ''))}"
    yield "</table>"


def _schema(title: str, schema: Mapping[str, Any]) -> str:
    text = msgspec.json.format(msgspec.json.encode(schema), indent=2).decode()
    return f"<details><summary><code>{escape(title)}</code></summary><pre>{escape(text)}</pre></details>"


def product_version() -> str:
    """Return the version of this project; 0 if it is not installed."""
    try:
        return version("event-delivery-worker")
    except PackageNotFoundError:
        return "0"
