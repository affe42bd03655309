"""The audit reaches PostgreSQL before the ledger's bounds drop it, and is read from both as one list."""

import asyncio
import json
import re
from datetime import date
from html import unescape
from typing import Any
from uuid import uuid4

import pytest
from click.testing import CliRunner

from tests.console.stage import STORE, staged
from tests.console.visitor import signed_in
from tests.counterparts.postgres import PostgresServer
from tests.counterparts.redis_server import RedisServer
from tests.integration.history.archive import KEPT, archive, ledger_with_history, rows
from tests.ledger.scene import LedgerScene
from tests.samples import ELSEWHERE, SCOPE, an_event, an_integration
from tests.waiting import eventually
from worker.cli import edw
from worker.cli.commands import audit
from worker.console.pages import audit_pages
from worker.domain.api_token import Role
from worker.domain.change import Actor, Change, ChangeAction
from worker.domain.event import Scope
from worker.history import merging
from worker.history.archive_rows import rows_of
from worker.history.archiver import Archiver
from worker.history.database import HistoryDatabase, HistoryUnavailable
from worker.history.seam import join
from worker.ledger import Ledger
from worker.ledger.archive_outbox import OutboxBatch

BY = Actor("0123456789abcdef", "Zoë's back office")
#: Records that the outbox holds at most (MOST_AUDITED of change_records.lua).
MOST_AUDITED = 20_000
#: Records that the ledger keeps beyond the cap, until the history has them (SPARE_CHANGES).
SPARE = 1_000


async def make(ledger: Ledger, first: int, count: int, scope: Scope = SCOPE) -> None:
    """Make changes of one integration, each with its number."""
    name = f"i-{scope.store_id}"
    for number in range(first, first + count):
        change = Change(
            BY, ChangeAction.INTEGRATION_UPDATED, scope.key, "integration", f"i-{number % 2}", {}, {"n": number}
        )
        await ledger.integrations.put(an_integration(name, scope=scope), change=change)


async def numbers(ledger: Ledger, offset: int = 0, limit: int = 100, scope: Scope = SCOPE) -> list[int]:
    """Return the numbers of a page of changes."""
    return [each.after["n"] for each in (await ledger.changes.of_scope(scope, offset, limit)).items]


@pytest.fixture
async def played(scene: LedgerScene) -> LedgerScene:
    """The scene of a process with a history, whose ledger keeps the last two changes of a scope."""
    return await ledger_with_history(scene, audit_cap=2)


@pytest.fixture
async def both(played: LedgerScene, history: HistoryDatabase) -> Ledger:
    """What an API process reads with."""
    opened: Ledger = await played.another(history=True, audit_cap=2)
    join(opened, history)
    return opened


async def test_pages_are_the_same_wherever_the_records_are(
    played: LedgerScene, archiver: Archiver, both: Ledger
) -> None:
    await make(played.ledger, 0, 1, ELSEWHERE)
    for made in range(1, 10):
        await make(played.ledger, made, 1)
        await archive(archiver)
        whole = list(range(made, 0, -1))
        pages = [await both.changes.of_scope(SCOPE, offset, 2) for offset in range(0, made + 2, 2)]
        assert [each.after["n"] for page in pages for each in page.items] == whole
        assert {(page.total, page.at_least, page.history_away) for page in pages} == {(made, False, False)}
    assert len(await in_the_ledger(played)) == 2
    (change,) = (await both.changes.of_scope(ELSEWHERE, 0, 10)).items
    assert (change.actor, change.scope_key, change.subject_id) == (BY, ELSEWHERE.key, "i-0")
    of_one = await both.changes.of_subject(SCOPE, "i-1")
    assert ([each.after["n"] for each in of_one.items], of_one.at_least) == ([9, 7, 5, 3, 1], False)
    # What is older than a time is found at once.
    fourth = (await both.changes.of_scope(SCOPE, 5, 1)).items[0]
    older = await both.changes.until(fourth.made_at - 1).of_scope(SCOPE, 0, 100)
    assert set(range(1, 4)) >= {each.after["n"] for each in older.items}
    assert fourth.id in {each.id for each in (await both.changes.until(fourth.made_at).of_scope(SCOPE, 0, 100)).items}


async def test_a_record_is_archived_once_wherever_the_archiver_dies(
    played: LedgerScene, archiver: Archiver, both: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    await make(played.ledger, 0, 5)

    async def dies(_: object) -> bool:
        raise ConnectionResetError

    for step in ("done", "tombstones"):
        with monkeypatch.context() as patched:
            patched.setattr(played.ledger.outbox, step, dies)
            with pytest.raises(ConnectionResetError):
                await archiver.step()
    await archive(archiver)

    assert await rows(archiver._database, "SELECT count(*) FROM edw.changes") == [(5,)]
    assert await numbers(both) == [4, 3, 2, 1, 0]
    assert (await played.ledger.outbox.lag()).waiting == 0


async def test_records_from_before_the_history_move_when_the_ledger_drops_them(
    scene: LedgerScene, played: LedgerScene, archiver: Archiver, both: Ledger
) -> None:
    # Another process of the fleet has no history, or is of an older version.
    other = await scene.another(audit_cap=100)
    await make(other, 0, 120)
    await archive(archiver)
    assert await rows(archiver._database, "SELECT count(*) FROM edw.changes") == [(0,)]
    await make(other, 120, 1)

    kept = await in_the_ledger(played)
    while len(kept) > 2:
        assert await numbers(both, limit=200) == list(range(120, 19, -1)), "what was dropped before the history is gone"
        await archive(archiver)
        kept = await in_the_ledger(played)

    assert await numbers(both, limit=200) == list(range(120, 19, -1))
    assert await rows(archiver._database, "SELECT count(*) FROM edw.changes") == [(101,)]


async def in_the_ledger(scene: LedgerScene) -> list[bytes]:
    found: list[bytes] = await scene.key("LRANGE", f"audit:{SCOPE.key}", 0, -1)
    return found


async def test_a_full_outbox_keeps_records_in_the_ledger_and_counts_what_it_must_drop(
    played: LedgerScene,
    archiver: Archiver,
    both: Ledger,
    redis_server: RedisServer,
    postgres: PostgresServer,
    database_name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await played.key("RPUSH", "audited", *["- [1]"] * MOST_AUDITED)
    await make(played.ledger, 0, 2)
    record = (await in_the_ledger(played))[0].decode()
    others = [record.replace(record.split('"')[1], str(uuid4())) for _ in range(SPARE)]
    await played.key("LPUSH", f"audit:{SCOPE.key}", *others)
    assert (await played.ledger.outbox.lag()).lost == 0
    await make(played.ledger, 2, 1)
    lag = await played.ledger.outbox.lag()
    assert (lag.waiting, lag.lost) == (MOST_AUDITED, 1)
    assert await numbers(both, limit=2_000) == [2, *[1] * (SPARE + 1)]

    await played.key("DEL", "audited")
    await make(played.ledger, 3, 1)
    await archive(archiver)

    assert await numbers(both, limit=2_000) == [3, 2, *[1] * (SPARE + 1)]
    assert (await played.ledger.outbox.lag()).lost == 1
    monkeypatch.setenv("EDW_HISTORY_URL", postgres.url(database_name))
    monkeypatch.setenv("EDW_REDIS_URL", redis_server.url)
    shown = await asyncio.to_thread(CliRunner().invoke, edw, ["status"])
    assert "; 1 record of the audit lost" in shown.output
    counted = await asyncio.to_thread(CliRunner().invoke, edw, ["status", "--json"])
    assert json.loads(counted.stdout)["history"]["audit_lost"] == 1


async def test_a_record_is_not_dropped_because_newer_ones_or_those_of_other_stores_are_archived(
    played: LedgerScene,
) -> None:
    outbox = played.ledger.outbox
    for scope in (SCOPE, ELSEWHERE):
        await make(played.ledger, 0, 4, scope)
    assert await outbox.sort("audited", 1) == 8
    await make(played.ledger, 4, 1)
    # The newest passes the others, as it does while a backlog is archived.
    assert await outbox.done(await outbox.take("audited"))
    assert await numbers(played.ledger) == [4, 3, 2, 1, 0]

    assert await outbox.done(await outbox.take(f"audited:{SCOPE.key}"))

    assert await numbers(played.ledger) == [4, 3]
    assert await numbers(played.ledger, scope=ELSEWHERE) == [3, 2, 1, 0]


async def test_with_the_history_away_what_the_ledger_has_is_shown(
    played: LedgerScene,
    archiver: Archiver,
    both: Ledger,
    redis_server: RedisServer,
    postgres: PostgresServer,
    database_name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await make(played.ledger, 0, 5)
    await archive(archiver)
    postgres.kill()
    try:
        page = await both.changes.of_scope(SCOPE, 0, 10)
        assert ([each.after["n"] for each in page.items], page.history_away) == ([4, 3], True)
        subject = await both.changes.of_subject(SCOPE, "i-0")
        assert ([each.after["n"] for each in subject.items], subject.history_away) == ([4], True)
        # What is not archived is not dropped.
        await make(played.ledger, 5, 5)
        assert await numbers(both) == [9, 8, 7, 6, 5]
        monkeypatch.setenv("EDW_HISTORY_URL", postgres.url(database_name))
        monkeypatch.setenv("EDW_REDIS_URL", redis_server.url)
        shown = await _listed()
        assert ([each["after"]["n"] for each in shown["data"]], shown["meta"]) == (
            [9, 8, 7, 6, 5],
            {"history": "unavailable"},
        )
    finally:
        postgres.start()
    monkeypatch.setattr("worker.history.database.REST_SECONDS", 0.0)

    async def is_archived() -> bool:
        try:
            return await archiver.step() > 0
        except HistoryUnavailable:
            await archiver._disconnect()
            return False

    await eventually(is_archived, "the archiver has gone on")
    await eventually(lambda: _all_are_shown(both), "the history answers again")
    await numbers(played.ledger)
    assert len(await in_the_ledger(played)) == 2


async def _all_are_shown(both: Ledger) -> bool:
    return await numbers(both) == list(range(9, -1, -1))


async def test_the_command_lists_all_that_the_history_has(
    played: LedgerScene,
    archiver: Archiver,
    redis_server: RedisServer,
    postgres: PostgresServer,
    database_name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await make(played.ledger, 0, 15)
    await archive(archiver)
    monkeypatch.setenv("EDW_HISTORY_URL", postgres.url(database_name))
    monkeypatch.setenv("EDW_REDIS_URL", redis_server.url)
    monkeypatch.setattr(audit, "PAGE", 3)
    # Further than an offset reaches.
    monkeypatch.setattr(merging, "DEEPEST", 8)
    for limit, expected in ((100, 15), (7, 7)):
        shown = await _listed("--limit", str(limit))
        assert [each["after"]["n"] for each in shown["data"]] == list(range(14, 14 - expected, -1))


async def _listed(*options: str) -> Any:
    """What `edw audit` lists of SCOPE."""
    words = ["audit", "--json", "--org", SCOPE.org_id or "", "--store", SCOPE.store_id or "", *options]
    found = await asyncio.to_thread(CliRunner().invoke, edw, words)
    assert found.exit_code == 0, found.output
    return json.loads(found.stdout)


def test_the_page_of_the_console_leads_to_all_that_the_history_has(
    postgres: PostgresServer, database_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = postgres.url(database_name)
    monkeypatch.setattr(audit_pages, "PAGE", 3)
    # Offsets reach two pages.
    monkeypatch.setattr(merging, "DEEPEST", 6)
    with staged(EDW_HISTORY_URL=url, EDW_AUDIT_CAP="2") as stage:
        stage.do(make(stage.api.ledger, 0, 13, STORE))
        stage.do(_archived(stage.api.ledger, url))
        admin = signed_in(stage, Role.ADMIN, STORE)
        link: str | None = "/audit"
        found: list[int] = []
        while link:
            text = unescape(admin.get(link).text)
            found += [int(each) for each in re.findall(r"<ins>(\d+)</ins>", text)]
            following = re.findall(r'href="/console(/audit[^"]*)" rel="next"', text)
            # The page before the last that offsets reach has the times of older ones.
            following += re.findall(r'href="/console(/audit[^"]*till=[^"]*)">Older ones', text)
            link = following[-1] if following else None
        assert found == sorted(found, reverse=True)
        assert set(found) == set(range(13))
        by_subject = unescape(admin.get("/audit?subject=i-1").text)
        assert re.findall(r"<ins>(\d+)</ins>", by_subject) == ["11", "9", "7", "5", "3", "1"]
        postgres.kill()
        try:
            for path in ("/audit", "/audit?subject=i-1"):
                assert "The history does not answer: older changes" in admin.get(path).text
        finally:
            postgres.start()


async def _archived(ledger: Ledger, url: str) -> None:
    archiver = Archiver(ledger, HistoryDatabase(url), KEPT)
    await archive(archiver)
    await archiver.close()


async def test_nothing_of_an_erased_event_is_in_the_audit(
    played: LedgerScene, archiver: Archiver, both: Ledger
) -> None:
    event = an_event("e-1", data=b'{"type":"order","id":"customer-77","note":"secret"}')
    await played.ledger.inbox.accept([event])
    change = Change(BY, ChangeAction.EVENT_ERASED, SCOPE.key, "event", event.id)
    assert await both.erasure.erase(event.ref, change)
    await archive(archiver)
    ((record,),) = await rows(archiver._database, "SELECT record FROM edw.changes")
    assert b"e-1" in record
    assert b"customer-77" not in record
    assert b"secret" not in record


def test_a_change_whose_day_is_dropped_is_not_archived() -> None:
    entries = [f'[{at},"{uuid4()}","","","token.created","token","t",{{}},{{}}]' for at in (1, 86_400_000)]
    changes = [*((SCOPE.key, entry) for entry in entries), ("not", "a record"), (SCOPE.key, "[1]")]
    batch = OutboxBatch("audited", [], [], [], [], changes)
    assert [row[0] for row in rows_of(batch).tables["changes"]] == [date(1970, 1, 1), date(1970, 1, 2)]
    assert [row[0] for row in rows_of(batch, date(1970, 1, 2)).tables["changes"]] == [date(1970, 1, 2)]
