"""`edw clock`, and what `edw doctor` says of clocks and versions."""

from collections.abc import AsyncIterator

import pytest

from tests.fleet.edw_command import Edw
from tests.ledger import surgery
from worker.domain.format_version import MINOR
from worker.ledger import Ledger

DAY_MS = 86_400_000


@pytest.fixture
async def ledger(redis_url: str) -> AsyncIterator[Ledger]:
    opened = Ledger(redis_url)
    await opened.open()
    yield opened
    await opened.close()


def seen(edw: Edw, subject: str) -> tuple[str, str, str]:
    """What the doctor says of a subject: its grade, what was seen, and the advice."""
    (found,) = [each for each in edw("doctor", "--quick", "--json").json["findings"] if each["subject"] == subject]
    return found["grade"], found["seen"], found["advice"]


async def test_a_leap_is_shown_and_confirmed(edw: Edw, ledger: Ledger) -> None:
    assert "no leap is held back" in edw("clock", "show").text
    assert "nothing to confirm" in edw("clock", "confirm").text
    await surgery.leap(ledger, 8 * DAY_MS + DAY_MS // 2)
    assert "a leap of 8 d" in edw("clock", "show").text
    grade, what, advice = seen(edw, "ledger time")
    assert (grade, advice) == ("failed", "check Redis's clock; if it is right, edw clock confirm")
    assert "by 8 d" in what
    assert seen(edw, "this clock")[0] == "warning"
    confirmed = edw("clock", "confirm")
    assert (confirmed.code, "went forward by 8 d" in confirmed.text) == (0, True)
    assert edw("clock", "show", "--json").json["held_seconds"] == 0
    assert [seen(edw, subject)[0] for subject in ("ledger time", "this clock")] == ["ok", "ok"]


async def test_ledger_time_that_is_behind_is_confirmed_too_and_time_that_is_ahead_is_not_set_back(
    edw: Edw, ledger: Ledger
) -> None:
    await surgery.leap(ledger, DAY_MS)
    await ledger.membership.read()
    await surgery.end_hold(ledger)
    grade, what, advice = seen(edw, "ledger time")
    assert (grade, advice) == ("warning", "if Redis's clock is right, edw clock confirm")
    assert what.endswith("behind Redis's clock")
    assert "went forward by" in edw("clock", "confirm").text
    assert seen(edw, "ledger time")[0] == "ok"
    await surgery.leap(ledger, -DAY_MS)
    assert seen(edw, "ledger time")[::2] == ("warning", "correct Redis's clock")
    assert "nothing to confirm" in edw("clock", "confirm").text


async def test_the_process_that_holds_a_newer_version_back_is_named(edw: Edw, ledger: Ledger) -> None:
    await surgery.join(ledger, MINOR, "older")
    assert seen(edw, "versions")[0] == "ok"
    await surgery.join(ledger, MINOR + 1, "newer")
    grade, what, advice = seen(edw, "versions")
    assert (grade, advice) == ("warning", "finish the upgrade: replace them")
    assert f"held back by 1: worker older (understands {MINOR})" in what
