"""The console as a part of the API's server: it finds the page, checks the session and the form, and answers.

The server imports this module with the first request for a page, so that listening does not wait for it.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from hashlib import sha256
from importlib.resources import files
from time import perf_counter
from urllib.parse import parse_qsl
from uuid import uuid4

import structlog
from aiohttp import hdrs, web

from worker.console.console_routes import ROUTES, PageRoute
from worker.console.console_services import ConsoleServices, Doctor
from worker.console.console_session import ConsoleSession, cookie_of, is_same_origin
from worker.console.html import rendered
from worker.console.integration_directory import IntegrationDirectory
from worker.console.visit import ROOT, Answer, Download, Html, PageRefusal, SeeOther, Visit
from worker.domain.api_token import SESSIONS, matches
from worker.domain.secrets_box import SecretsError
from worker.ledger import LedgerError
from worker.telemetry import metrics

_log = structlog.get_logger("edw.console")

#: Bytes of a form at most; a rejected message that is mended is the longest one.
FORM_BYTES = 512 * 1024
FORM_FIELDS = 2_000
FORM = "application/x-www-form-urlencoded"

_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_ALWAYS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    # The browser sends our own pages' address, without which Origin would be null.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors {}"
)


class ConsoleSite:
    """The pages, with the services that they use."""

    def __init__(self, services: ConsoleServices, doctor: Doctor | None = None) -> None:
        self._services = services
        self._doctor = doctor
        self._directory = IntegrationDirectory(services.ledger.integrations)
        self._router = web.UrlDispatcher()
        self._routes: dict[tuple[str, str], PageRoute] = {}
        for route in ROUTES:
            path = ROOT + route.path
            for method in (route.method, *([hdrs.METH_HEAD] if route.method == hdrs.METH_GET else [])):
                self._router.add_route(method, path, _never)
                self._routes[method, path] = route
        ancestors = " ".join(services.settings.console_frame_ancestors) or "'none'"
        self._headers = {**_ALWAYS, "Content-Security-Policy": _CSP.format(ancestors)}

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer a request under /console."""
        began = perf_counter()
        route: PageRoute | None = None
        visit = Visit(request, self._services, self._directory, None, doctor=self._doctor)
        try:
            if request.path.startswith(f"{ROOT}/static/"):
                return self._static(request.path.removeprefix(f"{ROOT}/static/"))
            route, params = await self._found(request)
            visit = replace(visit, params=params, session=await self._session(request))
            response = await self._answered(route, visit)
        except Exception as error:  # noqa: BLE001  (for any error, the visitor gets a page)
            response = self._failed(visit, error)
        seconds = perf_counter() - began
        name = f"console {route.name}" if route else "console"
        metrics.observe_request(name, response.status, seconds)
        self._log(request, name, visit, response.status, seconds)
        return response

    async def _answered(self, route: PageRoute, visit: Visit) -> web.Response:
        if route.method == hdrs.METH_POST:
            visit = await self._with_form(visit, needs_session=route.role is not None)
        if route.role is not None:
            if visit.session is None:
                return self._response(visit, SeeOther(f"{ROOT}/sign-in"))
            route.check(visit)
        return self._response(visit, await route.handler(visit))

    async def _found(self, request: web.Request) -> tuple[PageRoute, Mapping[str, str]]:
        found = await self._router.resolve(request)
        if found.http_exception is not None:
            raise PageRefusal(404, "Not found", "There is no such page.")
        resource = found.route.resource
        assert resource is not None  # noqa: S101  (every route of ours has one)
        return self._routes[request.method, resource.canonical], dict(found)

    async def _session(self, request: web.Request) -> ConsoleSession | None:
        parts = cookie_of(request.cookies)
        if parts is None:
            return None
        token = await self._services.ledger.tokens.get(parts[0])
        if token is None or token.kind not in SESSIONS or not matches(token, parts[1]):
            return None
        self._services.access.note_use(token)
        return ConsoleSession(token, parts[1])

    async def _with_form(self, visit: Visit, *, needs_session: bool) -> Visit:
        """Return the visit with its form. Raises PageRefusal if another site sent it, or another session's page."""
        request = visit.request
        if not is_same_origin(request.headers, self._services.settings.api_url):
            raise PageRefusal(403, "Refused", "The form was sent from another site. Open the page here, and try again.")
        if request.content_type != FORM:
            raise PageRefusal(415, "Refused", f"Expected a form ({FORM}).")
        body = bytearray()
        while chunk := await request.content.readany():
            body += chunk
            if len(body) > FORM_BYTES:
                raise PageRefusal(413, "Too large", f"The form is larger than {FORM_BYTES:,} bytes.")
        try:
            pairs = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=FORM_FIELDS)
        except ValueError:
            raise PageRefusal(400, "Refused", "The form cannot be read.") from None
        lists: dict[str, list[str]] = {}
        for name, value in pairs:
            lists.setdefault(name, []).append(value)
        form = {name: values[-1] for name, values in lists.items()}
        if needs_session and visit.session is not None and not visit.session.owns(form):
            raise PageRefusal(403, "Refused", "The form belongs to another session. Open the page again, and repeat.")
        return replace(visit, form=form, lists=lists)

    def _response(self, visit: Visit, answer: Answer) -> web.Response:
        if isinstance(answer, SeeOther):
            return web.Response(status=303, headers={**self._headers, **answer.headers, hdrs.LOCATION: answer.location})
        if isinstance(answer, Download):
            disposition = f'attachment; filename="{answer.name}"'
            saved: dict[str, str] = {
                hdrs.CONTENT_DISPOSITION: disposition,
                hdrs.CONTENT_TYPE: "application/octet-stream",
            }
            return web.Response(body=answer.content, headers={**self._headers, **saved})
        values = {"visit": visit, "link": visit.link, "now": visit.now, "asset": self._asset}
        text = rendered(answer.template, {**values, **answer.values})
        headers = {**self._headers, **answer.headers, hdrs.CONTENT_TYPE: "text/html; charset=utf-8"}
        return web.Response(body=text.encode(errors="replace"), status=answer.status, headers=headers)

    def _failed(self, visit: Visit, error: Exception) -> web.Response:
        match error:
            case PageRefusal():
                refusal = error
            case LedgerError():
                refusal = PageRefusal(503, "The ledger does not answer", f"{error.public}. Reload this page soon.")
            case SecretsError():
                refusal = PageRefusal(503, "Secrets are not available", "This process lacks the key of a secret.")
            case _:
                incident = str(uuid4())
                _log.error("internal error", incident=incident, path=visit.request.path, exc_info=error)
                refusal = PageRefusal(500, "Internal error", f"It is logged as incident {incident}.")
        return self._response(
            visit,
            Html("refusal.html", {"title": refusal.title, "detail": refusal.detail}, refusal.status, refusal.headers),
        )

    def _static(self, name: str) -> web.Response:
        found = self._files.get(name)
        if found is None:
            return web.Response(status=404, headers=self._headers)
        kind = _TYPES[name[name.rindex(".") :]]
        # Their address has the version, so a browser may keep them.
        headers = {
            **self._headers,
            "Cache-Control": "public, max-age=86400",
            hdrs.CONTENT_TYPE: f"{kind}; charset=utf-8",
        }
        return web.Response(body=found, headers=headers)

    @cached_property
    def _files(self) -> Mapping[str, bytes]:
        folder = files("worker.console") / "static"
        return {
            each.name: each.read_bytes()
            for each in folder.iterdir()
            if any(each.name.endswith(ending) for ending in _TYPES)
        }

    def _asset(self, name: str) -> str:
        """Return the address of a file, which changes with its content."""
        return f"{ROOT}/static/{name}?{sha256(self._files[name]).hexdigest()[:8]}"

    def _log(self, request: web.Request, name: str, visit: Visit, status: int, seconds: float) -> None:
        # The query is left out: a one-time link is in it.
        session = visit.session.token if visit.session else None
        _log.info(
            "request",
            method=request.method,
            path=request.path,
            operation=name,
            status=status,
            duration=round(seconds, 6),
            token=session.parent if session else None,
        )


async def _never(_: web.Request) -> web.StreamResponse:
    raise web.HTTPNotFound
