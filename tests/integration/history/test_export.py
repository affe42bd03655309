"""`edw history export`: what the API shows, in files that are whole, one for each day and kind."""

import asyncio
import json
import os
import random
import sys
import tracemalloc
from asyncio.subprocess import PIPE
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pyarrow
import pytest
from click.testing import CliRunner
from pyarrow import dataset, parquet

from deliverers.exchange import PhaseTimes, ReceivedAnswer, SentRequest, WireRecord
from tests.counterparts.emulator import REGION, Emulator
from tests.counterparts.ministack import Ministack
from tests.counterparts.moto import Moto
from tests.counterparts.postgres import PostgresServer
from tests.counterparts.server import started
from tests.fleet.edw_command import EDW, EdwProcess
from tests.fleet.environment import without_settings
from tests.integration.history.archive import archive, forget, rows
from tests.ledger.scene import LedgerScene, settlement
from tests.samples import ELSEWHERE, SCOPE, an_event, an_integration
from tests.waiting import eventually
from worker.cli import edw
from worker.cli.commands import history_export
from worker.domain.change import Actor, Change, ChangeAction
from worker.domain.event import rfc3339
from worker.domain.integration_log import IntegrationLog
from worker.domain.resources import change_document, job_document, log_document
from worker.history.archiver import Archiver
from worker.history.database import HistoryDatabase
from worker.history.days import TABLES
from worker.history.export import day_reader, encoders, s3_target
from worker.history.export.columns import COLUMNS, KINDS
from worker.history.export.exporter import Exporter, ExportPlan, file_name
from worker.history.export.targets import FolderTarget, Target, TargetError
from worker.history.partitions import Partitions
from worker.history.seam import join
from worker.ledger import Ledger, Verdict
from worker.ledger.lanes.log_records import encoded_log

#: The day of everything: far from midnight, whatever happens meanwhile.
DAY = datetime.now(UTC).date() - timedelta(days=10)
#: With line breaks between its values, and text that few programs like.
ODD = b'{"type": "order",\n\r "id": "1", "note": "%s"}' % "ü\\u0000 \\ud83d\\ude00 \\n".encode()


@pytest.fixture
async def both(played: LedgerScene, history: HistoryDatabase) -> Ledger:
    """What an API process reads with."""
    opened: Ledger = await played.another(history=True)
    join(opened, history)
    return opened


@pytest.fixture
async def recorded(
    played: LedgerScene, archiver: Archiver, history: HistoryDatabase, postgres: PostgresServer, database_name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> HistoryDatabase:  # fmt: skip
    """A history of today: events, jobs, logs and changes of two stores."""
    monkeypatch.setenv("EDW_HISTORY_URL", postgres.url(database_name))
    change = Change(Actor("", "Zoë"), ChangeAction.INTEGRATION_CREATED, SCOPE.key, "integration", "i-1", {}, {"n": 1})
    await played.ledger.integrations.put(an_integration(), change=change)
    await played.register("i-1", "i-2")
    contents = [ODD, *(b'{"n":%d}' % number for number in range(1, 5))]
    events = [an_event(f"e-{n}", data=data, time="2026-01-01T00:00:00Z") for n, data in enumerate(contents)]
    await played.ledger.inbox.accept(events)
    stored = list((await played.ledger.inbox.load([each.ref for each in events])).events)
    await played.open(stored[:-1], "i-1", "i-2")
    await played.open(stored[-1:])
    record = WireRecord(
        PhaseTimes(connect=0.25),
        SentRequest("POST", "https://shop.example/hook", (("X-Secret", "[hidden]"),)),
        ReceivedAnswer("HTTP/1.1 500 No", (("X-Odd", "a\nb"),)),
    )
    for verdict in (Verdict.SUCCEEDED, Verdict.FAILED):
        (claim,) = await played.claim("i-1", "i-2", room=1)
        made = settlement(claim, verdict, detail="500, sorry")
        await played.ledger.jobs.settle([replace(made, log=replace(made.log, exchange=record, status_code=500))])
    while claims := await played.claim("i-1", "i-2"):
        await played.ledger.jobs.settle([settlement(each, Verdict.SUCCEEDED) for each in claims])
    other = an_event("theirs", ELSEWHERE)
    await played.ledger.inbox.accept([other])
    await played.open(list((await played.ledger.inbox.load([other.ref])).events))
    await archive(archiver)
    await forget(played.ledger)
    return history


@pytest.fixture
async def exported(recorded: HistoryDatabase) -> HistoryDatabase:
    """The same history, as if it was DAY."""
    await move(recorded)
    return recorded


async def move(history: HistoryDatabase, tables: tuple[str, ...] = TABLES) -> None:
    """Move what the history has into the partitions of DAY."""
    async with history.connection() as connection:
        await connection.set_autocommit(True)
        await Partitions(connection).make([DAY])
        for table in tables:
            await connection.execute(f"UPDATE edw.{table} SET day = %s".encode(), (DAY,))
        await connection.execute(
            "WITH gone AS (DELETE FROM edw.day_versions RETURNING kind, version)"
            " INSERT INTO edw.day_versions SELECT kind, %s, sum(version) FROM gone GROUP BY kind",
            (DAY,),
        )


async def export(*words: object, days: tuple[str, ...] = ("--from", str(DAY), "--to", str(DAY)), code: int = 0) -> str:
    """Run the command in this process; return what it says."""
    found = await asyncio.to_thread(CliRunner().invoke, edw, ["history", "export", *map(str, words), *days])
    assert found.exit_code == code, (found.output, found.exception)
    return found.output


def values(folder: Path, kind: str, format_: str) -> list[dict[str, Any]]:
    """What a reader of tables finds of a kind; times as the API writes them, JSON decoded, without what is missing."""
    if format_ == "ndjson":
        return [json.loads(line) for line in (folder / file_name(kind, DAY, format_)).read_bytes().splitlines()]
    table = dataset.dataset(folder / kind, format="parquet", partitioning="hive").to_table()
    assert {str(each) for each in table.column("day").unique()} == {str(DAY)}
    found = []
    for row in table.drop_columns("day").to_pylist():
        given = {name: value for name, value in row.items() if value is not None}
        for column in COLUMNS[kind]:
            if column.name in given and column.type == "time":
                given[column.name] = rfc3339(round(given[column.name].timestamp() * 1000))
            elif column.name in given and column.type == "json":
                given[column.name] = json.loads(given[column.name])
        found.append(given)
    return found


@pytest.mark.parametrize("format_", ["parquet", "ndjson"])
async def test_an_export_has_what_the_api_shows(
    recorded: HistoryDatabase, both: Ledger, tmp_path: Path, format_: str
) -> None:
    events = {each.id: each for each in (await both.events.page(SCOPE, 0, 100)).items}
    jobs = [job for lane in ("i-1", "i-2") for job in (await both.jobs.of_integration(lane, 0, 100)).items]
    logs = await both.logs.with_exchanges((await both.logs.of_scope(SCOPE, 0, 100)).items)
    await move(recorded)

    said = await export(tmp_path / "out", "--format", format_, "--store", SCOPE.store_id, "--org", SCOPE.org_id)

    assert said.splitlines()[0] == "exported 4 files with 22 rows"
    scope = {"org_id": SCOPE.org_id, "store_id": SCOPE.store_id}
    found = {kind: {each["id"]: each for each in values(tmp_path / "out", kind, format_)} for kind in KINDS}
    assert set(found["events"]) == set(events)
    for stored in await both.events.stored([each.ref for each in events.values()]):
        event, resource = stored.event, stored.event.resource
        assert found["events"][event.id] == {
            **scope,
            "id": event.id,
            "triggered_by": "order.paid",
            "sequence": stored.sequence,
            "state": "observed",
            **({"resource_type": resource.type, "resource_id": resource.id} if resource else {}),
            "time": "2026-01-01T00:00:00Z",
            "created_at": rfc3339(stored.accepted_at),
            "payload": json.loads(event.raw),
        }
    shown = {job.id: shown_as(job_document(job)) for job in jobs}
    assert found["jobs"] == {each: scope | flat(document) for each, document in shown.items()}
    documents = {each.id: shown_as(log_document(each)) for each in logs}
    assert sum("request" in each for each in documents.values()) == 2
    assert found["logs"] == {each: scope | flat(document) for each, document in documents.items()}
    (change,) = (await both.changes.of_scope(SCOPE, 0, 100)).items
    document = shown_as(change_document(change))
    assert found["changes"][change.id] == scope | {
        **{name: document[name] for name in ("id", "action", "before", "after")},
        "author_name": "Zoë",
        "subject_type": "integration",
        "subject_id": "i-1",
        "created_at": rfc3339(change.made_at),
    }


def shown_as(document: object) -> dict[str, Any]:
    """A document as clients of the API read it."""
    found: dict[str, Any] = json.loads(msgspec.json.encode(document))
    return found


def flat(document: dict[str, Any]) -> dict[str, Any]:
    """The document of a job or a log as a row."""
    plain = {name: value for name, value in document.items() if name not in ("relationships", "meta", "type")}
    related = {
        {"integration": "integration_id", "integration-job": "job_id"}[each["data"]["type"]]: each["data"]["id"]
        for each in document["relationships"].values()
    }
    return {**plain, **related, **document["meta"]["timestamps"]}


async def test_a_payload_is_the_one_of_the_producer_and_types_are_those_of_the_page(
    exported: HistoryDatabase, tmp_path: Path
) -> None:
    await export(tmp_path)
    table = parquet.read_table(tmp_path / file_name("events", DAY, "parquet"), partitioning=None)
    payloads = dict(zip(table["id"].to_pylist(), table["payload"].to_pylist(), strict=True))
    assert payloads["e-0"].encode() == an_event("e-0", data=ODD, time="2026-01-01T00:00:00Z").raw
    assert set(payloads) == {*(f"e-{n}" for n in range(5)), "theirs"}
    assert table.schema.field("created_at").type == pyarrow.timestamp("ms", "UTC")
    page = (Path(__file__).parents[3] / "deploy" / "OPERATIONS.md").read_text()
    for kind, columns in COLUMNS.items():
        listed = ", ".join(f"`{each.name}`" for each in columns)
        assert f"| `{kind}` | {listed} |" in page


async def test_what_a_target_has_is_left_as_it_is_until_it_changes(exported: HistoryDatabase, tmp_path: Path) -> None:
    await export(tmp_path)
    before = {name: (tmp_path / name).stat().st_mtime_ns for name in map(_named, KINDS)}
    said = await export(tmp_path)
    assert said.splitlines()[:2] == ["exported 0 files with 0 rows", "4 files of the target left as they are"]
    assert {name: (tmp_path / name).stat().st_mtime_ns for name in before} == before

    # A job that was redelivered.
    async with exported.connection() as connection:
        await connection.execute("UPDATE edw.jobs SET state = 'cancelled'")
        await connection.execute("UPDATE edw.day_versions SET version = version + 1 WHERE kind = 'jobs'")
        await connection.commit()
    document = json.loads(await export(tmp_path, "--json"))
    assert [each["name"] for each in document["written"]] == [_named("jobs")]
    assert (document["kept"], document["left_out"], document["outdated"]) == (3, [], [])
    assert {each["state"] for each in values(tmp_path, "jobs", "parquet")} == {"cancelled"}

    assert "exported 1 file " in await export(tmp_path, "--force", "--kind", "changes")
    assert "exported 4 files" in await export(tmp_path, "--force")


async def test_a_day_that_still_grows_is_left_out_unless_it_is_wanted(
    exported: HistoryDatabase, tmp_path: Path
) -> None:
    before_it, today = str(DAY - timedelta(days=1)), datetime.now(UTC).date()
    said = await export(tmp_path, days=("--from", before_it))
    assert f"the history begins with {DAY}" in said
    # Midnight may have been in between.
    growing = next(day for day in (today, today + timedelta(days=1)) if f"left out {day}, which still grows" in said)
    assert not (tmp_path / f"events/day={growing}").exists()
    said = await export(tmp_path, days=("--from", str(growing), "--to", str(growing)))
    assert said.splitlines() == ["exported 4 files with 0 rows"]


def _named(kind: str) -> str:
    return file_name(kind, DAY, "parquet")


async def test_a_file_does_not_lose_the_data_of_events_that_the_history_has_no_more(
    exported: HistoryDatabase, tmp_path: Path
) -> None:
    await export(tmp_path)
    async with exported.connection() as connection:
        await connection.set_autocommit(True)
        await Partitions(connection).drop(f"payloads_{DAY:%Y%m%d}")
        await connection.execute("UPDATE edw.day_versions SET version = version + 1")

    said = await export(tmp_path)
    assert f"{_named('events')} has changed since" in said
    assert all("payload" in each for each in values(tmp_path, "events", "parquet"))

    await export(tmp_path, "--force")
    found = values(tmp_path, "events", "parquet")
    assert {each["id"] for each in found} == {*(f"e-{n}" for n in range(5)), "theirs"}
    assert not any("payload" in each for each in found)


async def test_a_target_takes_one_export(exported: HistoryDatabase, tmp_path: Path) -> None:
    await export(tmp_path, "--store", SCOPE.store_id)
    for words in (["--store", "another"], [], ["--store", SCOPE.store_id, "--format", "ndjson"]):
        assert "name another target" in await export(tmp_path, *words, code=1)
    (tmp_path / "_edw_export.json").write_text("mine")
    assert "was not written by edw" in await export(tmp_path, code=1)


async def test_an_erased_event_is_not_in_it(
    exported: HistoryDatabase, archiver: Archiver, both: Ledger, tmp_path: Path
) -> None:
    await export(tmp_path, "--format", "ndjson")
    assert await both.erasure.erase(an_event("e-0").ref)
    await archive(archiver)

    assert "exported 2 files" in await export(tmp_path, "--format", "ndjson")

    assert {each["id"] for each in values(tmp_path, "events", "ndjson")} == {"e-1", "e-2", "e-3", "e-4", "theirs"}
    jobs = {each["id"] for each in values(tmp_path, "jobs", "ndjson") if each["event_id"] == "e-0"}
    logs = [each for each in values(tmp_path, "logs", "ndjson") if each["job_id"] in jobs]
    assert len(logs) == 2, "the outcomes stay"
    assert not any(each["body"] or "request" in each or "response" in each for each in logs)


async def test_a_killed_export_leaves_whole_files_and_goes_on(
    exported: HistoryDatabase, postgres: PostgresServer, database_name: str, tmp_path: Path
) -> None:
    target = tmp_path / "out"
    # Its second file waits for a reader who never comes.
    stuck = target / f"jobs/day={DAY}/.jobs.parquet.part"
    stuck.parent.mkdir(parents=True)
    os.mkfifo(stuck)
    environment = without_settings() | {"EDW_HISTORY_URL": postgres.url(database_name)}
    process = EdwProcess(("history", "export", str(target)), environment, tmp_path / "log")
    try:
        first = target / f"events/day={DAY}/_events.json"
        await eventually(first.exists, "the first file is written")
    finally:
        process.kill()
    found = sorted(path.name for path in target.rglob("*") if path.is_file())
    assert found == ["_edw_export.json", "_events.json", "events.parquet"]
    whole = (target / _named("events")).stat().st_mtime_ns
    stuck.unlink()
    stuck.write_bytes(b"half a file of an export that was killed")

    assert (await export(target)).splitlines()[0].startswith("exported 3 files")

    assert (target / _named("events")).stat().st_mtime_ns == whole
    assert not stuck.exists()
    assert len(values(target, "jobs", "parquet")) == 8


async def half(target: Target, error: BaseException, size: int = 4) -> None:
    """Write a file, and fail."""
    async with target.writing("x/y.parquet") as sink:
        await sink.write(bytes(size))
        raise error


def test_a_file_that_fails_in_the_middle_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConnectionResetError):
        asyncio.run(half(FolderTarget(tmp_path), ConnectionResetError()))
    assert [path.name for path in tmp_path.rglob("*")] == ["x"]
    (tmp_path / "file").write_text("")
    with pytest.raises(TargetError, match="Not a directory"):
        asyncio.run(half(FolderTarget(tmp_path / "file"), ConnectionResetError()))


_LOGS = """
    INSERT INTO edw.logs
    SELECT %s, gen_random_uuid(), 1, 1000, 'a/b', 'i', true, record, NULL FROM unnest(%s::bytea[]) AS record
"""


def a_log(number: int) -> bytes:
    """A log of 1,000 bytes that no codec makes smaller."""
    body = random.Random(number).randbytes(496).hex()
    return (1000).to_bytes(6, "big") + encoded_log(IntegrationLog("", "i", 1, True, body, 200, "", 0.1))


async def fill(history: HistoryDatabase, logs: int) -> None:
    """Give DAY many logs."""
    async with history.connection() as connection:
        await connection.set_autocommit(True)
        await Partitions(connection).make([DAY])
        await connection.execute(_LOGS.encode(), (DAY, [a_log(number) for number in range(logs)]))


@pytest.mark.parametrize("format_", ["parquet", "ndjson"])
async def test_a_huge_day_takes_no_more_memory(
    history: HistoryDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format_: str
) -> None:
    # A tenth of what is usual, so that a day is huge with 10 MB.
    monkeypatch.setattr(encoders, "GROUP_BYTES", 800_000)
    monkeypatch.setattr(day_reader, "FETCH_BYTES", 400_000)
    await fill(history, 10_000)
    pool = pyarrow.default_memory_pool()
    allocated: list[int] = []
    plan = ExportPlan(format_, kinds=["logs"])

    tracemalloc.start()
    try:
        async with history.streaming("test") as connection:
            exporter = Exporter(
                connection, FolderTarget(tmp_path), plan, lambda *_: allocated.append(pool.bytes_allocated())
            )
            report = await exporter.run()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    (written,) = report.written
    assert written.rows == 10_000
    assert peak < 4_000_000
    assert max(allocated) < 4_000_000
    assert len(allocated) > 20


@pytest.fixture(scope="module", params=[Moto, Ministack], ids=["moto", "ministack"])
def s3(request: pytest.FixtureRequest) -> Iterator[Emulator]:
    """A server of S3's protocol."""
    for server in started(request.param):
        server.client("s3").create_bucket(Bucket="lake", CreateBucketConfiguration={"LocationConstraint": REGION})
        yield server


@pytest.fixture
def aws(s3: Emulator, monkeypatch: pytest.MonkeyPatch) -> Emulator:
    """The environment of the command, as anything of AWS reads it."""
    key, secret = s3.root_keys
    for name, value in {
        "AWS_ACCESS_KEY_ID": key,
        "AWS_SECRET_ACCESS_KEY": secret,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ENDPOINT_URL_S3": s3.url,
    }.items():
        monkeypatch.setenv(name, value)
    return s3


async def test_an_export_to_s3_goes_on_by_day_and_large_files_go_in_parts(
    exported: HistoryDatabase, aws: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_target, "PART_BYTES", 5 * 1024 * 1024)
    await fill(exported, 6_000)
    client = aws.client("s3")

    assert (await export("s3://lake/edw/", "--format", "ndjson")).startswith("exported 4 files with 6,023 rows")

    keys = {each["Key"]: each for each in client.list_objects_v2(Bucket="lake", Prefix="edw/")["Contents"]}
    assert set(keys) == {
        "edw/_edw_export.json",
        *(f"edw/{kind}/day={DAY}/{name}" for kind in KINDS for name in (f"{kind}.ndjson", f"_{kind}.json")),
    }
    large = f"edw/logs/day={DAY}/logs.ndjson"
    assert keys[large]["ETag"].strip('"').endswith("-2"), "it came in two parts"
    lines = client.get_object(Bucket="lake", Key=large)["Body"].read().splitlines()
    assert len({json.loads(line)["id"] for line in lines}) == 6_008
    assert "4 files of the target left" in await export("s3://lake/edw", "--format", "ndjson")


async def test_a_failed_upload_leaves_no_part(aws: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3_target, "PART_BYTES", 5 * 1024 * 1024)
    client, begun = aws.client("s3"), list[str]()
    upload = s3_target._Upload._upload

    async def noting(self: Any, part: bytes) -> None:
        await upload(self, part)
        assert {"PartNumber", "ETag", "ChecksumCRC32"} == set(self._parts[-1])
        begun.extend(each["Key"] for each in client.list_multipart_uploads(Bucket="lake")["Uploads"])

    monkeypatch.setattr(s3_target._Upload, "_upload", noting)
    async with s3_target.s3_target("s3://lake/broken") as target:
        for error in (ConnectionResetError(), asyncio.CancelledError()):
            with pytest.raises(type(error)):
                await half(target, error, 6 * 1024 * 1024)
            assert not await target.exists("x/y.parquet")
            assert not client.list_multipart_uploads(Bucket="lake").get("Uploads")
    assert begun == ["broken/x/y.parquet"] * 2


async def test_what_s3_refuses_is_said(exported: HistoryDatabase, aws: Emulator) -> None:
    assert "S3 bucket nowhere: " in await export("s3://nowhere/edw", code=1)
    for url in ("s3://", "gs://lake/edw"):
        assert "expected a folder, or s3://bucket/prefix" in await export(url, code=1)


def everything(terminal: int) -> bytes:
    """What a process writes to its terminal, until its end."""
    found = bytearray()
    # Linux reports the end of the last writer as an error.
    with suppress(OSError):
        while piece := os.read(terminal, 65_536):
            found += piece
    return bytes(found)


async def test_a_terminal_shows_how_far_it_is_and_a_file_has_only_what_came_of_it(
    exported: HistoryDatabase, tmp_path: Path
) -> None:
    words = [sys.executable, *EDW, "history", "export", str(tmp_path), "--from", str(DAY), "--to", str(DAY)]
    environment = without_settings() | {"EDW_HISTORY_URL": os.environ["EDW_HISTORY_URL"], "TERM": "xterm"}
    terminal, end = os.openpty()
    process = await asyncio.create_subprocess_exec(*words, env=environment, stdout=PIPE, stderr=end)
    os.close(end)
    (said, _), shown = await asyncio.gather(process.communicate(), asyncio.to_thread(everything, terminal))
    os.close(terminal)
    assert said.decode().splitlines() == ["exported 4 files with 23 rows"]
    # A fast export is drawn once, at its end, when the last file is being written.
    assert b"3/4" in shown
    assert b"files" in shown

    process = await asyncio.create_subprocess_exec(*words, env=environment, stdout=PIPE, stderr=PIPE)
    _, silent = await process.communicate()
    assert (process.returncode, silent) == (0, b"")


async def test_wrong_options_are_refused(
    exported: HistoryDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "is before --from" in await export(tmp_path, days=("--from", "2026-11-02", "--to", "2026-11-01"), code=2)
    assert "does not match" in await export(tmp_path, days=("--from", "November"), code=2)
    monkeypatch.setattr(history_export, "find_spec", lambda _: None)
    assert "event-delivery-worker[parquet]" in await export(tmp_path, code=1)
    assert "exported" in await export(tmp_path, "--format", "ndjson")


async def test_the_archiver_notes_which_days_have_changed(exported: HistoryDatabase) -> None:
    found = await rows(exported, "SELECT kind, day, version > 0 FROM edw.day_versions ORDER BY kind")
    assert found == [(table, DAY, True) for table in sorted((*KINDS, "payloads"))]
    assert isinstance(found[0][1], date)
