"""Writes the days of the history that a target does not have yet, each whole or not at all."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

import msgspec

from worker.history.database import Connection, mapped
from worker.history.export.columns import KINDS, ROW_OF, VERSION
from worker.history.export.day_reader import DayDropped, DayReader, KeptDays, kept_days, versions
from worker.history.export.encoders import ENCODERS
from worker.history.export.targets import Target, TargetError

#: What a target has; whatever reads it as tables leaves out names that begin with an underscore.
MANIFEST = "_edw_export.json"


@dataclass(frozen=True, slots=True)
class ExportPlan:
    """What is to be exported. `first` and `last` are days; None leaves them to what the history has."""

    format: str
    #: The scope (Scope.key) whose records are wanted; None for all.
    scope: str | None = None
    first: date | None = None
    last: date | None = None
    kinds: Sequence[str] = KINDS
    #: Whether days that the target has are written again.
    force: bool = False


class Manifest(msgspec.Struct, frozen=True):
    """What a target has the export of."""

    format: str
    scope: str | None
    columns: int = VERSION


class DayState(msgspec.Struct, frozen=True):
    """What a file was made of."""

    version: int
    rows: int
    #: Whether the data of events was kept when it was made.
    payloads: bool


@dataclass(frozen=True, slots=True)
class ExportedFile:
    """A file that was written."""

    name: str
    rows: int


@dataclass(slots=True)
class ExportReport:
    """What came of an export."""

    written: list[ExportedFile] = field(default_factory=list)
    #: Files that the target had.
    kept: int = 0
    #: Files whose day has changed since, but whose data of events the history has no more.
    outdated: list[str] = field(default_factory=list)
    #: Days that still grow and were left out.
    growing: list[date] = field(default_factory=list)
    #: The first day that the history has.
    oldest: date | None = None


#: Called with the number of files done, of files in all, the file's name, and its rows so far.
Progress = Callable[[int, int, str, int], None]


def file_name(kind: str, day: date, suffix: str) -> str:
    """Return the name of a day's file: a table for each kind, partitioned as Hive does."""
    return f"{kind}/day={day}/{kind}.{suffix}"


def _state_name(kind: str, day: date) -> str:
    return f"{kind}/day={day}/_{kind}.json"


class Exporter:
    """Exports by one connection, which must not be in autocommit mode."""

    def __init__(self, connection: Connection, target: Target, plan: ExportPlan, progress: Progress) -> None:
        self._connection = connection
        self._target = target
        self._plan = plan
        self._progress = progress

    async def run(self) -> ExportReport:
        """Write what the target does not have, or has in an older version.

        Raises TargetError, HistoryError.
        """
        await self._check_manifest()
        with mapped():
            async with self._connection.transaction():
                kept, current = await kept_days(self._connection), await versions(self._connection)
        report = ExportReport()
        report.oldest = min((days[0] for days in kept.days.values() if days), default=None)
        wanted = self._wanted(kept, report)
        for done, (kind, day) in enumerate(wanted):
            self._progress(done, len(wanted), file_name(kind, day, self._plan.format), 0)
            payloads = day in kept.days.get("payloads", ())
            if await self._is_done(kind, day, current.get((kind, day), 0), report, payloads=payloads):
                continue
            written = await self._write(kind, day, done, len(wanted), payloads=payloads)
            if written is not None:
                report.written.append(written)
        return report

    async def _check_manifest(self) -> None:
        mine = Manifest(self._plan.format, self._plan.scope)
        found = await self._target.read(MANIFEST)
        if found is None:
            await self._put(MANIFEST, mine)
            return
        try:
            theirs = msgspec.json.decode(found, type=Manifest)
        except msgspec.MsgspecError:
            raise TargetError(f"{MANIFEST} of the target was not written by edw: name another target") from None
        if theirs != mine:
            raise TargetError(
                f"the target has an export of {_words(theirs)}, and this is one of {_words(mine)}: name another target"
            )

    def _wanted(self, kept: KeptDays, report: ExportReport) -> list[tuple[str, date]]:
        last = self._plan.last or kept.today - timedelta(days=1)
        wanted = []
        for day in sorted({day for kind in self._plan.kinds for day in kept.days.get(kind, ())}):
            if day < (self._plan.first or day) or day > kept.today:
                continue
            if day > last:
                if self._plan.last is None:
                    report.growing.append(day)
                continue
            wanted += [(kind, day) for kind in self._plan.kinds if day in kept.days.get(kind, ())]
        return wanted

    async def _is_done(self, kind: str, day: date, version: int, report: ExportReport, *, payloads: bool) -> bool:
        """Return whether a day is not to be written."""
        name = file_name(kind, day, self._plan.format)
        raw = None if self._plan.force else await self._target.read(_state_name(kind, day))
        if raw is None or not await self._target.exists(name):
            return False
        try:
            state = msgspec.json.decode(raw, type=DayState)
        except msgspec.MsgspecError:
            return False
        if state.version == version:
            report.kept += 1
            return True
        if kind == "events" and state.payloads and not payloads:
            report.outdated.append(name)
            return True
        return False

    async def _write(self, kind: str, day: date, done: int, files: int, *, payloads: bool) -> ExportedFile | None:
        """Write a day, and then what it was made of; return None if the history has dropped it meanwhile."""
        name, rows = file_name(kind, day, self._plan.format), 0
        encoder, row_of = ENCODERS[self._plan.format](kind), ROW_OF[kind]
        try:
            with mapped():
                # One view of the day, from the version on.
                async with self._connection.transaction():
                    version = (await versions(self._connection)).get((kind, day), 0)
                    reader = DayReader(self._connection, kind, day, self._plan.scope, payloads=payloads)
                    async with self._target.writing(name) as sink:
                        async for batch in reader.batches():
                            for found in batch:
                                row = row_of(found)
                                if row is not None:
                                    rows += 1
                                    if piece := encoder.add(row):
                                        await sink.write(piece)
                            self._progress(done, files, name, rows)
                        await sink.write(encoder.end())
        except DayDropped:
            return None
        await self._put(_state_name(kind, day), DayState(version, rows, payloads))
        return ExportedFile(name, rows)

    async def _put(self, name: str, content: Any) -> None:
        async with self._target.writing(name) as sink:
            await sink.write(msgspec.json.encode(content))


def _words(manifest: Manifest) -> str:
    whose = "all stores" if manifest.scope is None else f"the scope {manifest.scope}"
    return f"{whose} as {manifest.format}"
