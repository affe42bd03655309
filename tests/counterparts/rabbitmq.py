"""A private RabbitMQ, as an ordinary user, on ports of its own and with an epmd of its own.

The system's service, where one runs, is not touched. More listeners are lines of `rabbitmq.conf` and plug-ins: both are
arguments, so that a test can ask for STOMP or TLS.
"""

import base64
import hashlib
import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import sleep
from typing import Any
from urllib.parse import quote

from kombu.connection import Connection

from tests.counterparts.certificates import ServerFiles
from tests.counterparts.ports import free_port, listens
from tests.counterparts.server import Server

#: The script of Debian's package that does not insist on root.
PROGRAM = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
_MISSING = 'RabbitMQ is not installed: run "make servers", or apt install rabbitmq-server'
USER, PASSWORD = "tester", "s3cret"
#: `rabbitmqctl` starts a virtual machine of Erlang's, which may take so long (seconds).
CONTROL_SECONDS = 100.0


def tls_options(files: ServerFiles) -> dict[str, str]:
    """Configuration of whatever listeners speak TLS."""
    return {
        "ssl_options.cacertfile": str(files.ca),
        "ssl_options.certfile": str(files.certificate),
        "ssl_options.keyfile": str(files.key),
        "ssl_options.verify": "verify_none",
        "ssl_options.fail_if_no_peer_cert": "false",
    }


class RabbitServer(Server):
    """One broker and its epmd; `vhosts` are those that it has beside "/"."""

    name = "rabbit"

    @classmethod
    def missing(cls) -> str | None:
        return None if PROGRAM.exists() and shutil.which("epmd") is not None else _MISSING

    def __init__(
        self, plugins: Sequence[str] = (), config: Mapping[str, str] | None = None, vhosts: Sequence[str] = ()
    ) -> None:
        super().__init__()
        self.port, self._dist, self._epmd = free_port(), free_port(), free_port()
        self._plugins = plugins
        self._config = {
            "listeners.tcp.1": f"127.0.0.1:{self.port}",
            "loopback_users": "none",
            # Read at the start. To ask a running one costs a virtual machine each time, and on a busy machine a minute.
            "load_definitions": str(self._folder / "definitions.json"),
        } | dict(config or {})
        (self._folder / "definitions.json").write_text(json.dumps(_definitions(["/", *vhosts])))

    def url(self, vhost: str = "/") -> str:
        """The broker by AMQP."""
        return self.url_at(self.port, vhost)

    @staticmethod
    def url_at(port: int, vhost: str = "/") -> str:
        """The broker by a port that leads to it."""
        return f"amqp://{USER}:{PASSWORD}@127.0.0.1:{port}/{quote(vhost, safe='')}"

    def control(self, *words: str) -> str:
        """`rabbitmqctl`, which answers within a second or two, but for a busy machine."""
        done = subprocess.run(
            [str(PROGRAM.with_name("rabbitmqctl")), *words],
            env=self._environment(),
            capture_output=True,
            text=True,
            timeout=CONTROL_SECONDS,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"rabbitmqctl {' '.join(words)}: {done.stdout}{done.stderr}")
        return done.stdout

    def _environment(self) -> dict[str, str]:
        folder = self._folder
        return {
            "PATH": "/usr/bin:/bin:/usr/sbin:/sbin",
            "HOME": str(folder / "home"),
            "LANG": "C.UTF-8",
            "ERL_EPMD_PORT": str(self._epmd),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_NODENAME": f"t{self.port}@localhost",
            "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
            "RABBITMQ_GENERATED_CONFIG_DIR": str(folder / "generated"),
            "RABBITMQ_DIST_PORT": str(self._dist),
            "RABBITMQ_PID_FILE": str(folder / "pid"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
            # One scheduler that does not spin: the machine is the tests'.
            "RABBITMQ_SERVER_ERL_ARGS": "+S 1:1 +sbwt none +sbwtdcpu none +sbwtdio none",
        }

    def _launch(self) -> None:
        for name in ("mnesia", "log", "home"):
            (self._folder / name).mkdir(exist_ok=True)
        (self._folder / "enabled_plugins").write_text(f"[{','.join(self._plugins)}].\n")
        lines = (f"{name} = {value}\n" for name, value in self._config.items())
        (self._folder / "rabbitmq.conf").write_text("".join(lines))
        self._spawn("epmd", "-port", str(self._epmd), "-address", "127.0.0.1", env=self._environment())
        self._spawn(str(PROGRAM), env=self._environment())

    def _ended(self) -> None:
        # The virtual machine may outlive its script for a moment.
        for port in (self.port, self._epmd):
            while listens(port):
                sleep(0.01)

    def _answers(self) -> bool:
        if not listens(self.port):
            return False
        connection: Any = Connection(self.url(), connect_timeout=2)
        try:
            connection.transport.establish_connection().close()
        except (OSError, *connection.connection_errors, *connection.channel_errors):
            return False
        return True


def _definitions(vhosts: Sequence[str]) -> dict[str, Any]:
    """The one user, and the virtual hosts that are his."""
    salt = b"salt"
    digest = base64.b64encode(salt + hashlib.sha256(salt + PASSWORD.encode()).digest()).decode()
    everything = {"user": USER, "configure": ".*", "write": ".*", "read": ".*"}
    return {
        "users": [{"name": USER, "password_hash": digest, "tags": "administrator"}],
        "vhosts": [{"name": name} for name in vhosts],
        "permissions": [everything | {"vhost": name} for name in vhosts],
    }
