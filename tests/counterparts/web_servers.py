"""Private nginx, Apache and Node servers, as receivers commonly run them.

    /echo    200; the header X-Request has the request line unchanged
    /later   503 with Retry-After: 60

A body of more than 64 KiB is 413. After three requests a connection is closed.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import ClassVar

from tests.counterparts.ports import free_port, listens
from tests.counterparts.server import Server

_MODULES = Path("/usr/lib/apache2/modules")
#: Neither runs its workers as root.
_WORKERS = "www-data"

_NGINX = """worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr;
events {{}}
http {{
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  keepalive_requests 3;
  client_max_body_size 64k;
  server {{
    listen 127.0.0.1:{port};
    location = /later {{ add_header Retry-After 60 always; return 503; }}
    location / {{ add_header X-Request "$request" always; return 200 "ok"; }}
  }}
}}
"""
_APACHE = """ServerRoot {folder}
ServerName localhost
PidFile {folder}/apache.pid
ErrorLog /dev/stderr
Listen 127.0.0.1:{port}
LoadModule mpm_event_module {modules}/mod_mpm_event.so
LoadModule authz_core_module {modules}/mod_authz_core.so
LoadModule alias_module {modules}/mod_alias.so
LoadModule headers_module {modules}/mod_headers.so
{user}
StartServers 1
MaxKeepAliveRequests 3
LimitRequestBody 65536
Header always set X-Request "expr=%{{THE_REQUEST}}"
Header always set Retry-After 60 "expr=%{{REQUEST_STATUS}} == 503"
Redirect 503 /later
AliasMatch ^/(?!later) {folder}/ok
<Directory {folder}>
  Require all granted
</Directory>
"""
_NODE = """
const server = require("node:http").createServer((request, answer) => {
  if (Number(request.headers["content-length"]) > 65536) {
    answer.writeHead(413, {"Connection": "close"});
    return answer.end("too large");
  }
  request.resume().on("end", () => {
    if (request.url === "/later") {
      answer.writeHead(503, {"Retry-After": "60"});
    } else {
      answer.setHeader("X-Request", `${request.method} ${request.url} HTTP/${request.httpVersion}`);
    }
    answer.end("ok");
  });
});
server.maxRequestsPerSocket = 3;
server.listen(Number(process.argv[2]), "127.0.0.1");
"""


class WebServer(Server):
    """One of them, at `url`."""

    program: ClassVar[str]

    def __init__(self) -> None:
        super().__init__()
        # The workers of some are another user's.
        self._folder.chmod(0o755)
        self.port = free_port()

    @classmethod
    def missing(cls) -> str | None:
        found = shutil.which(cls.program, path=f"{os.environ.get('PATH', '')}:/usr/sbin")
        return None if found else f'{cls.program} is not installed: run "make servers"'

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def _answers(self) -> bool:
        return listens(self.port)


class Nginx(WebServer):
    name, program = "nginx", "nginx"

    def _launch(self) -> None:
        config = self._folder / "nginx.conf"
        config.write_text(_NGINX.format(folder=self._folder, port=self.port))
        self._spawn("/usr/sbin/nginx", "-c", str(config), "-p", str(self._folder), "-g", "daemon off;")


class Apache(WebServer):
    name, program = "apache", "apache2"

    def _launch(self) -> None:
        (self._folder / "ok").write_text("ok")
        user = f"User {_WORKERS}\nGroup {_WORKERS}"
        config = self._folder / "apache.conf"
        # Who is not root has its workers run as itself.
        text = _APACHE.format(
            folder=self._folder, port=self.port, modules=_MODULES, user=user if os.geteuid() == 0 else ""
        )
        config.write_text(text)
        self._spawn("/usr/sbin/apache2", "-f", str(config), "-DFOREGROUND")


class Node(WebServer):
    name, program = "node", "node"

    def _launch(self) -> None:
        (self._folder / "server.js").write_text(_NODE)
        self._spawn("node", str(self._folder / "server.js"), str(self.port))
