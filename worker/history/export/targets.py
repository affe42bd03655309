"""Where an export goes: a folder of this machine."""

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Protocol


class TargetError(Exception):
    """The target cannot be read or written; the text says why."""


class Sink(Protocol):
    """A file that is being written."""

    async def write(self, content: bytes) -> None:
        """Write the next piece."""
        ...


class Target(Protocol):
    """A place for files, each with a name such as `events/day=2026-11-28/events.parquet`."""

    async def read(self, name: str) -> bytes | None:
        """Return a small file; None if there is none."""
        ...

    async def exists(self, name: str) -> bool:
        """Return whether there is such a file."""
        ...

    def writing(self, name: str) -> AbstractAsyncContextManager[Sink]:
        """Write a file, which replaces an earlier one at the end of the block, and only if the block succeeds."""
        ...


class FolderTarget:
    """A folder, which is made on first use."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def read(self, name: str) -> bytes | None:
        """Return a small file; None if there is none."""
        try:
            return (self._folder / name).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise TargetError(f"cannot read {self._folder / name}: {error.strerror or error}") from error

    async def exists(self, name: str) -> bool:
        """Return whether there is such a file."""
        return (self._folder / name).is_file()

    @asynccontextmanager
    async def writing(self, name: str) -> AsyncIterator[Sink]:
        """Write a file under a temporary name, and rename it at the end."""
        path = self._folder / name
        # Whatever reads the folder as a table leaves out names that begin with a dot.
        temporary = path.with_name(f".{path.name}.part")
        with _mapped():
            path.parent.mkdir(parents=True, exist_ok=True)
            file = temporary.open("wb")
        try:
            yield _FileSink(file.fileno())
            with _mapped():
                os.fsync(file.fileno())
                temporary.replace(path)
                _sync_folder(path.parent)
        finally:
            file.close()
            with suppress(OSError):
                temporary.unlink(missing_ok=True)


class _FileSink:
    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    async def write(self, content: bytes) -> None:
        left = memoryview(content)
        with _mapped():
            while left:
                left = left[os.write(self._descriptor, left) :]


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _mapped() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise TargetError(f"cannot write {error.filename or 'the export'}: {error.strerror or error}") from error
