"""A web server that clients of these tests meet: a page with the platform's SDK, and a receiver of webhooks."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from tests.clients.runtimes import HERE, INSTALLED

SDK = INSTALLED / "javascript/node_modules/@elasticpath/js-sdk/dist/index.js"
FILES = {"/page": ("text/html; charset=utf-8", HERE / "browser/page.html"), "/sdk.js": ("text/javascript", SDK)}


@dataclass(frozen=True)
class PostedWebhook:
    """One webhook that the site received."""

    headers: dict[str, str]
    body: bytes


@dataclass
class ClientSite:
    """What the site received so far."""

    port: int = 0
    results: list[bytes] = field(default_factory=list)
    webhooks: list[PostedWebhook] = field(default_factory=list)

    @property
    def hook(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """Answer a GET with a file, and keep what a POST brings."""
        content_type, content = "text/plain", b"ok"
        if request.command == "GET":
            if request.path not in FILES:
                request.send_error(404)
                return
            content_type, path = FILES[request.path]
            content = Path(path).read_bytes()
        else:
            body = request.rfile.read(int(request.headers["Content-Length"]))
            if request.path == "/result":
                self.results.append(body)
            else:
                self.webhooks.append(PostedWebhook(dict(request.headers.items()), body))
        request.send_response(200)
        request.send_header("Content-Type", content_type)
        request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        request.wfile.write(content)


@contextmanager
def client_site(port: int) -> Iterator[ClientSite]:
    """Serve a site at a port of loopback."""
    site = ClientSite(port)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            site.answer(self)

        def do_POST(self) -> None:
            site.answer(self)

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    with ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
        server.daemon_threads = True
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield site
        finally:
            server.shutdown()
