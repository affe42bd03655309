"""Connections to PostgreSQL, and the translation of psycopg's errors."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from time import monotonic
from typing import Any, ClassVar, TypeVar
from urllib.parse import urlsplit

import psycopg

from worker.ledger import LedgerError

#: Seconds in which a connection must open.
CONNECT_SECONDS = 5
#: Seconds that a read takes at most, with its wait for a connection.
READ_SECONDS = 4.0
#: Seconds that a fetch of an export takes at most, and that it may wait for its target.
STREAM_SECONDS = 1_800
#: Connections of one process for reading.
READERS = 4
#: Seconds for which nothing is read after a read has failed: callers get their answer from the ledger at once.
REST_SECONDS = 1.0

#: Troubles of the server that pass, or that its operator ends; InternalError is one of its files.
_PASSING = (
    *(psycopg.OperationalError, psycopg.InterfaceError, psycopg.InternalError),
    psycopg.errors.ReadOnlySqlTransaction,
)
#: TCP options by which a connection notices within ten seconds that the other machine is gone.
_KEEP_ALIVE: Mapping[str, Any] = {
    "keepalives_idle": 4,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}

Connection = psycopg.AsyncConnection[tuple[Any, ...]]
Result = TypeVar("Result")


class HistoryError(LedgerError):
    """A failure of the history as a whole."""

    public: ClassVar[str] = "the history cannot be used now"


class HistoryUnavailable(HistoryError):
    """PostgreSQL did not answer, or cannot do it now. The work may or may not have been done."""

    public = "the history does not answer"


class HistoryRefused(HistoryError):
    """PostgreSQL refuses the login or a statement, or lacks our tables, until an operator corrects it."""


@contextmanager
def mapped() -> Iterator[None]:
    """Raise psycopg's exceptions as ours."""
    try:
        yield
    except (psycopg.errors.InsufficientPrivilege, psycopg.errors.InvalidAuthorizationSpecification) as error:
        raise HistoryRefused(f"PostgreSQL refuses this user: {_first_line(error)}") from error
    except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName, psycopg.errors.UndefinedColumn) as error:
        raise HistoryRefused(
            f'the history\'s tables are missing or old ({_first_line(error)}): run "edw history migrate"'
        ) from error
    except _PASSING as error:
        raise HistoryUnavailable(f"PostgreSQL does not answer: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


#: Work that was given up, and has not ended yet.
_given_up: set[asyncio.Task[Any]] = set()


async def within(seconds: float, work: Coroutine[Any, Any, Result]) -> Result:
    """Return the result of some work. Raises TimeoutError after so many seconds, and cancels the work.

    It does not wait for the end of the work: psycopg first asks the server to cancel the statement, and waits for an
    answer, which a server that is frozen never gives.
    """
    task = asyncio.create_task(work)
    try:
        await asyncio.wait({task}, timeout=seconds)
        if task.done():
            return task.result()
        raise TimeoutError
    finally:
        if not task.done():
            task.cancel()
            _given_up.add(task)
            task.add_done_callback(_ended)


def _ended(task: asyncio.Task[Any]) -> None:
    _given_up.discard(task)
    if not task.cancelled():
        # Nobody else asks for it.
        task.exception()


def address_of(url: str) -> str:
    """Return host, port and database of a URL, without user and password."""
    parts = urlsplit(url)
    return f"{parts.hostname or 'localhost'}:{parts.port or 5432}{parts.path}"


class HistoryDatabase:
    """One process's access to the history.

    Reading connections are kept open, READERS of them at most. psycopg's own pool does not suit: where PostgreSQL
    refuses a connection, it keeps its callers waiting until their timeout.
    """

    def __init__(self, url: str, clock: Callable[[], float] = monotonic) -> None:
        self._url = url
        self._clock = clock
        self.address = address_of(url)
        self._idle: list[Connection] = []
        self._free = asyncio.Semaphore(READERS)
        self._rests_until = 0.0

    async def connect(self, name: str = "edw") -> Connection:
        """Return a new connection for writing, which the caller closes. Raises HistoryError."""
        # A process that hangs in the middle of a transaction must not keep others from the rows it locked.
        limits = "-c idle_in_transaction_session_timeout=10000 -c lock_timeout=5000 -c statement_timeout=60000"
        return await self._connect(name, limits)

    @asynccontextmanager
    async def streaming(self, name: str) -> AsyncIterator[Connection]:
        """Open a connection for reading much, for the length of the block. A transaction has one view of the data."""
        limits = f"-c statement_timeout={STREAM_SECONDS}s -c idle_in_transaction_session_timeout={STREAM_SECONDS}s"
        # A join that begins at once, and needs no memory or files of the server.
        limits += " -c default_transaction_read_only=on -c enable_hashjoin=off -c enable_sort=off"
        opened = await self._connect(name, limits)
        try:
            await opened.set_isolation_level(psycopg.IsolationLevel.REPEATABLE_READ)
            yield opened
        finally:
            await opened.close()

    @asynccontextmanager
    async def connection(self, name: str = "edw") -> AsyncIterator[Connection]:
        """Open a connection for writing for the length of the block."""
        opened = await self.connect(name)
        try:
            with mapped():
                yield opened
        finally:
            await opened.close()

    async def read(self, work: Callable[[Connection], Coroutine[Any, Any, Result]]) -> Result:
        """Run `work` on a connection for reading, and return its result. Raises HistoryError."""
        if self._clock() < self._rests_until:
            raise HistoryUnavailable("PostgreSQL did not answer a moment ago")
        try:
            with mapped():
                return await within(READ_SECONDS, self._turn(work))
        except TimeoutError:
            self._rests_until = self._clock() + REST_SECONDS
            raise HistoryUnavailable(f"PostgreSQL does not answer: nothing within {READ_SECONDS:g} s") from None
        except HistoryUnavailable:
            self._rests_until = self._clock() + REST_SECONDS
            raise

    async def _turn(self, work: Callable[[Connection], Coroutine[Any, Any, Result]]) -> Result:
        async with self._free:
            return await self._read(work)

    async def close(self) -> None:
        """Close the connections for reading."""
        while self._idle:
            await self._idle.pop().close()

    async def _read(self, work: Callable[[Connection], Coroutine[Any, Any, Result]]) -> Result:
        while self._idle:
            reader = self._idle.pop()
            try:
                return await self._use(reader, work)
            except psycopg.errors.QueryCanceled:
                raise
            except psycopg.OperationalError:
                # The server may have restarted since the last read. To read once more is harmless.
                continue
        return await self._use(await self._reader(), work)

    async def _use(self, reader: Connection, work: Callable[[Connection], Coroutine[Any, Any, Result]]) -> Result:
        try:
            found = await work(reader)
        except BaseException:
            # It may be broken, or in the middle of an answer.
            await reader.close()
            raise
        self._idle.append(reader)
        return found

    async def _reader(self) -> Connection:
        limits = f"-c statement_timeout={round(READ_SECONDS * 1000)} -c default_transaction_read_only=on"
        # To plan for ninety partitions takes longer than to read a page: a plan is made once for each connection.
        limits += " -c plan_cache_mode=force_generic_plan"
        opened = await self._connect("edw-reader", limits)
        await opened.set_autocommit(True)
        opened.prepare_threshold = 1
        return opened

    async def _connect(self, name: str, limits: str) -> Connection:
        with mapped():
            return await psycopg.AsyncConnection.connect(
                self._url,
                connect_timeout=CONNECT_SECONDS,
                application_name=name,
                options=limits,
                **_KEEP_ALIVE,
            )
