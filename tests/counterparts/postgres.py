"""A private PostgreSQL on loopback, as an ordinary user: where the tests run as root, the user `postgres`."""

import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic, sleep

import psutil
import psycopg

from tests.counterparts.fake_clock import SteppedRedisServer
from tests.counterparts.freezing import freeze
from tests.counterparts.ports import free_port
from tests.counterparts.server import LOOK_SECONDS, START_SECONDS, STOP_SECONDS, Server

#: Where Debian and Ubuntu have each version's programs.
PROGRAMS = Path("/usr/lib/postgresql")
USER = "postgres"
_MISSING = 'PostgreSQL is not installed: run "make servers", or apt install postgresql'
#: Seconds for a statement of a test.
ANSWER_SECONDS = 10
#: What makes a cluster of a test quick. To be killed loses nothing by it: only a power cut would.
QUICK = {"fsync": "off", "full_page_writes": "off", "max_connections": "60", "shared_buffers": "32MB"}


def _runs(process: psutil.Process) -> bool:
    """Return whether a process runs; one that has ended may wait for its parent for ever."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _programs() -> Path | None:
    """Return the folder of the newest version's programs."""
    found = [each for each in PROGRAMS.glob("*/bin") if (each / "initdb").exists()]
    return max(found, key=lambda each: float(each.parent.name), default=None)


class PostgresServer(Server):
    """One server. Options are the server's own: `PostgresServer(max_connections="20")`.

    `clock_off` sets its clock before or after the machine's, such as `-400d` (libfaketime).
    """

    name = "postgres"

    @classmethod
    def missing(cls) -> str | None:
        return None if _programs() is not None else _MISSING

    def __init__(self, clock_off: str = "", **options: str) -> None:
        super().__init__()
        self._clock_off = clock_off
        self.port = free_port()
        self._data = self._folder / "data"
        self._options = QUICK | options
        self._databases = 0
        # PostgreSQL refuses to run as root.
        self._as_user: list[str] = []
        if os.geteuid() == 0:
            self._as_user = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--init-groups", "--"]
            owner = pwd.getpwnam(USER)
            os.chown(self._folder, owner.pw_uid, owner.pw_gid)

    def url(self, database: str = "postgres", user: str = USER) -> str:
        """The server over loopback."""
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}"

    def url_at(self, port: int, database: str) -> str:
        """A database by a port that leads to the server."""
        return f"postgresql://{USER}@127.0.0.1:{port}/{database}"

    def new_database(self) -> str:
        """Make an empty database; return its name."""
        self._databases += 1
        name = f"test_{self._databases}"
        self.run(f"CREATE DATABASE {name} TEMPLATE template0")
        return name

    def run(self, statement: str, database: str = "postgres") -> list[tuple[object, ...]]:
        """Run one statement as the superuser; return its rows."""
        with self.session(database) as connection:
            found = connection.execute(statement.encode())
            return found.fetchall() if found.description else []

    @contextmanager
    def session(self, database: str = "postgres") -> Iterator[psycopg.Connection[tuple[object, ...]]]:
        """A connection of the superuser, in autocommit mode."""
        with psycopg.connect(self.url(database), autocommit=True, connect_timeout=ANSWER_SECONDS) as connection:
            yield connection

    def freeze(self) -> None:
        """Stop the server and its backends, each of which has a session of its own."""
        for process in self._tree():
            with suppress(ProcessLookupError):
                freeze(process.pid)

    def thaw(self) -> None:
        for process in self._tree():
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGCONT)

    @contextmanager
    def full(self, database: str, table: str) -> Iterator[None]:
        """No space is left for an empty table: the server's own writes to its file get ENOSPC from the kernel."""
        ((name,),) = self.run(f"SELECT pg_relation_filepath('{table}')", database)
        file = self._data / str(name)
        aside = file.with_suffix(".aside")
        file.rename(aside)
        file.symlink_to("/dev/full")
        self.end_sessions(database)
        try:
            yield
        finally:
            aside.replace(file)
            self.end_sessions(database)

    def end_sessions(self, database: str) -> None:
        """End all sessions of a database. New ones see its changed settings, and open files anew."""
        self.run(f"SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = '{database}'")

    def stop(self) -> None:
        """End it as an operator would who does not wait for clients ("fast")."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """End all its processes as a power cut would."""
        backends = self._tree()
        for process in backends:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        super().kill()
        end = monotonic() + STOP_SECONDS
        while any(map(_runs, backends)) and monotonic() < end:
            sleep(LOOK_SECONDS)

    def _tree(self) -> list[psutil.Process]:
        found: list[psutil.Process] = []
        for each in self._processes:
            with suppress(psutil.NoSuchProcess):
                parent = psutil.Process(each.pid)
                found += [parent, *parent.children(recursive=True)]
        return found

    def _launch(self) -> None:
        programs = _programs()
        assert programs is not None, _MISSING
        if not self._data.exists():
            made = subprocess.run(
                [
                    *self._as_user,
                    *(str(programs / "initdb"), "-D", str(self._data), "-A", "trust", "-U", USER),
                    *("-E", "UTF8", "--locale=C.UTF-8", "--no-sync"),
                ],
                capture_output=True,
                text=True,
                timeout=START_SECONDS,
                check=False,
                cwd=self._folder,
            )
            if made.returncode:
                raise RuntimeError(f"initdb: {made.stdout}{made.stderr}")
        options = [word for name, value in self._options.items() for word in ("-c", f"{name}={value}")]
        self._spawn(
            *self._as_user,
            *self._with_clock(),
            *(str(programs / "postgres"), "-D", str(self._data), "-k", str(self._folder), "-p", str(self.port)),
            *("-c", "listen_addresses=127.0.0.1", *options),
        )

    def _with_clock(self) -> list[str]:
        if not self._clock_off:
            return []
        fake = {"LD_PRELOAD": SteppedRedisServer.library(), "FAKETIME": self._clock_off}
        # Set for the server alone: libfaketime shares memory with whatever else its user starts.
        return ["env", *(f"{name}={value}" for name, value in fake.items()), "FAKETIME_DONT_FAKE_MONOTONIC=1"]

    def _answers(self) -> bool:
        with suppress(psycopg.OperationalError):
            self.run("SELECT 1")
            return True
        return False

    def remove(self) -> None:
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)
