"""The audit: a change that people make is recorded by the script that makes it, and the records are bounded."""

from collections.abc import Awaitable, Callable
from uuid import UUID

import pytest

from tests.ledger.scene import LedgerScene
from tests.samples import ELSEWHERE, SCOPE, an_integration
from tests.waiting import eventually
from worker.domain.api_token import Role, Token, TokenKind, new_id
from worker.domain.change import Actor, Change, ChangeAction
from worker.domain.compact_id import compact_uuid
from worker.domain.event import Scope
from worker.domain.job import job_id
from worker.ledger import Ledger, Verdict
from worker.ledger.integration_repository import RevisionConflict

BY = Actor("0123456789abcdef", "Zoë's back office")
TOKEN = Token(new_id(), TokenKind.TOKEN, Role.ADMIN, SCOPE)


def a_change(number: int = 0, scope: Scope = SCOPE, **after: object) -> Change:
    state = after or {"number": number}
    return Change(BY, ChangeAction.INTEGRATION_UPDATED, scope.key, "integration", "i-1", {"number": -1}, state)


async def recorded(ledger: Ledger, scope: Scope = SCOPE) -> list[Change]:
    return list((await ledger.changes.of_scope(scope, 0, 100)).items)


async def test_a_change_comes_back_as_it_was_made_with_the_ledgers_time(scene: LedgerScene) -> None:
    made = a_change()
    before = await scene.ledger.redis.now()

    await scene.ledger.integrations.put(an_integration(), change=made)

    (found,) = await recorded(scene.ledger)
    assert before <= found.made_at <= await scene.ledger.redis.now()
    assert (found.actor, found.action, found.before, found.after) == (BY, made.action, made.before, made.after)
    assert (found.id, found.subject_type, found.subject_id) == (made.id, "integration", "i-1")
    assert await recorded(scene.ledger, ELSEWHERE) == []


async def test_what_changes_nothing_is_not_recorded(scene: LedgerScene) -> None:
    ledger = scene.ledger
    (kept,) = [(await ledger.integrations.put(an_integration())).integration]
    with pytest.raises(RevisionConflict):
        await ledger.integrations.put(kept, expect=7, change=a_change())
    with pytest.raises(RevisionConflict):
        await ledger.integrations.delete("i-1", expect=7, change=a_change())
    assert not await ledger.integrations.delete("another", change=a_change())
    assert not await ledger.integrations.reseal(an_integration(revision=7), kept, a_change())
    assert not await ledger.tokens.revoke(TOKEN.id, a_change())
    assert await ledger.redelivery.redeliver([job_id(new_ref(), "i-1")], change=a_change()) == ["gone"]
    assert await recorded(ledger) == []


def new_ref() -> str:
    return compact_uuid(UUID("6f1f1cde-1f6f-4d6b-9b1e-3a0d5a3c0009"))


async def test_each_kind_of_change_is_recorded_once_however_often_it_is_repeated(scene: LedgerScene) -> None:
    ledger = scene.ledger
    (kept,) = [(await ledger.integrations.put(an_integration())).integration]
    await scene.owe("i-1", "e-1")
    (claim,) = await scene.claim("i-1")
    await scene.settle(claim, Verdict.FAILED)
    calls: list[Callable[[], Awaitable[object]]] = [
        lambda: ledger.tokens.put(TOKEN, a_change(1)),
        lambda: ledger.tokens.put(TOKEN, a_change(2)),
        lambda: ledger.tokens.revoke(TOKEN.id, a_change(3)),
        lambda: ledger.tokens.revoke(TOKEN.id, a_change(4)),
        lambda: ledger.integrations.reseal(kept, kept, a_change(5)),
        lambda: ledger.redelivery.redeliver([claim.job_id], "mark", change=a_change(6)),
        lambda: ledger.redelivery.redeliver([claim.job_id], "mark", change=a_change(7)),
        lambda: ledger.integrations.delete("i-1", change=a_change(8)),
        lambda: ledger.integrations.delete("i-1", change=a_change(9)),
    ]
    for call in calls:
        await call()
    assert [each.after["number"] for each in await recorded(ledger)] == [8, 6, 5, 3, 1]


async def test_the_newest_are_kept_and_paged(scene: LedgerScene) -> None:
    few = await scene.another(audit_cap=5)
    for number in range(8):
        await few.integrations.put(an_integration(), change=a_change(number))
    pages = [await few.changes.of_scope(SCOPE, offset, 2) for offset in (0, 2, 4, 6)]
    assert [[each.after["number"] for each in page.items] for page in pages] == [[7, 6], [5, 4], [3], []]
    assert {page.total for page in pages} == {5}


async def test_old_ones_are_dropped_although_new_ones_are_made(scene: LedgerScene) -> None:
    brief = await scene.another(audit_retention=1)
    await scene.ledger.integrations.put(an_integration(), change=a_change(1))
    await scene.ledger.integrations.put(an_integration("elsewhere", scope=ELSEWHERE), change=a_change(2, ELSEWHERE))

    async def gone() -> bool:
        await scene.ledger.redis.now()
        return not (await brief.changes.of_scope(SCOPE, 0, 10)).items

    await eventually(gone, "the old change is dropped")
    await brief.integrations.put(an_integration(), change=a_change(3))
    assert len(await recorded(scene.ledger)) <= 1
    assert [each.after for each in await recorded(scene.ledger, ELSEWHERE)] == [{"number": 2}]


async def test_a_long_value_is_left_out_and_a_record_is_bounded(scene: LedgerScene) -> None:
    states: dict[str, object] = {f"attribute {n}": "x" * 1_900 for n in range(50)} | {"long": "y" * 10_000, "n": 1}
    await scene.ledger.integrations.put(an_integration(), change=a_change(0, SCOPE, **states))
    (found,) = await recorded(scene.ledger)
    assert found.after["long"] == "(left out: 10,002 bytes)"
    assert found.after["n"] == 1
    assert sum(value == "x" * 1_900 for value in found.after.values()) == 4
