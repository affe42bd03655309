"""A server under test: a freeze holds when `freeze()` returns, and nothing of it is left when `kill()` returns."""

import sys
from collections.abc import Iterator

import psutil
import pytest

from tests.counterparts.freezing import is_stopped
from tests.counterparts.ports import free_port, listens
from tests.counterparts.redis_server import RedisServer
from tests.counterparts.server import Server

#: Listens, with threads that never rest, each of which a freeze must stop.
LISTENER = """
import socket, sys, threading
for _ in range(4):
    threading.Thread(target=lambda: [None for _ in iter(int, 1)], daemon=True).start()
held = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    held.accept()[0].close()
"""
#: Starts the listener as its child and waits for it, as a server's start script does.
SCRIPT = "import subprocess, sys; sys.exit(subprocess.call([sys.executable, '-c', *sys.argv[1:]]))"


class ScriptedServer(Server):
    """A server that its script starts as a child, with threads that never rest."""

    name = "scripted"

    def __init__(self) -> None:
        super().__init__()
        self.port = free_port()

    @property
    def members(self) -> list[psutil.Process]:
        """The script and its server."""
        script = psutil.Process(self._processes[0].pid)
        return [script, *script.children()]

    def _launch(self) -> None:
        self._spawn(sys.executable, "-c", SCRIPT, LISTENER, str(self.port))

    def _answers(self) -> bool:
        return listens(self.port)


@pytest.fixture
def scripted() -> Iterator[ScriptedServer]:
    with ScriptedServer() as server:
        yield server


def test_no_thread_of_any_process_runs_once_freeze_has_returned(scripted: ScriptedServer) -> None:
    members = scripted.members
    assert len(members) == 2

    scripted.freeze()

    assert [is_stopped(each.pid) for each in members] == [True, True]
    used = [each.cpu_times() for each in members]
    assert [each.cpu_times() for each in members] == used
    scripted.thaw()
    assert scripted.running


def test_the_grandchild_is_gone_once_kill_has_returned_and_its_port_is_free_for_a_restart(
    scripted: ScriptedServer,
) -> None:
    members = scripted.members

    scripted.kill()

    assert [each.is_running() and each.status() != psutil.STATUS_ZOMBIE for each in members] == [False, False]
    assert not listens(scripted.port)
    scripted.restart()
    assert listens(scripted.port)


def test_a_frozen_server_can_be_ended(scripted: ScriptedServer) -> None:
    scripted.freeze()
    scripted.stop()
    assert not listens(scripted.port)
    assert not scripted.running


def test_what_was_written_is_there_after_a_power_cut(redis_server: RedisServer) -> None:
    with redis_server.client() as client:
        client.set("kept", "1")
    redis_server.restart()
    with redis_server.client() as client:
        assert client.get("kept") == b"1"


def test_a_server_that_ends_at_once_says_why() -> None:
    server = RedisServer(appendfsync="nonsense")
    try:
        with pytest.raises(RuntimeError, match=r"(?s)redis did not start.*appendfsync"):
            server.start()
    finally:
        server.remove()
