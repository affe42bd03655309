"""What the console says: states, reasons, times, charts."""

from typing import Any

import pytest

from tests.samples import an_integration
from worker.console.failure_groups import common_reason, groups_of
from worker.console.html import pretty, rendered, scope_name, span, took
from worker.console.next_step import Tone, next_step
from worker.console.sparkline import bars, line
from worker.domain.event import Scope
from worker.ledger.inspection.failing_lanes import FailingLane
from worker.ledger.inspection.ledger_status import LaneStatus

NOW = 1_764_000_000_000


def a_lane(due: int = 0, leased: int = 0, oldest: int = -1) -> LaneStatus:
    return LaneStatus("i-1", due, leased, held=False, oldest_due_age=oldest)


@pytest.mark.parametrize(
    ("changes", "lane", "tone", "state", "words"),
    [
        ({}, a_lane(), Tone.GOOD, "Healthy", "Nothing is owed"),
        ({}, a_lane(due=3, leased=2), Tone.BUSY, "Delivering", "2 attempts in flight, 3 waiting"),
        ({}, a_lane(due=1), Tone.BUSY, "Delivering", "1 delivery waits for its turn"),
        ({"paused": True}, a_lane(due=2), Tone.IDLE, "Paused", "2 deliveries wait"),
        ({"enabled": False}, a_lane(), Tone.IDLE, "Disabled", "no delivery waits"),
        ({"enabled": False, "disabled_reason": "answered 410"}, a_lane(), Tone.BAD, "Disabled", "answered 410"),
        ({"circuit": "open", "circuit_until": NOW + 9}, a_lane(due=1), Tone.BAD, "Circuit open", "probes the receiver"),
        ({"circuit": "half"}, a_lane(), Tone.WARNING, "Probing", "One attempt at a time"),
        ({"failing_since": NOW - 9, "failing_attempts": 4}, a_lane(due=1), Tone.WARNING, "Failing", "last 4 attempts"),
        ({"failing_since": NOW - 9, "failing_attempts": 1}, a_lane(), Tone.WARNING, "Failing", "Nothing is owed"),
    ],
)
def test_a_state_says_what_happens_next(
    changes: dict[str, Any], lane: LaneStatus, tone: Tone, state: str, words: str
) -> None:
    step = next_step(an_integration(**changes), lane, NOW)
    assert (step.tone, step.state) == (tone, state)
    assert words in step.sentence


def test_a_state_says_when_it_happens() -> None:
    open_circuit = an_integration(circuit="open", circuit_until=NOW + 5_000)
    assert next_step(open_circuit, a_lane(due=1), NOW).at == NOW + 5_000
    failing = an_integration(failing_since=NOW - 1, failing_attempts=1)
    assert next_step(failing, a_lane(due=1, oldest=-60_000), NOW).at == NOW + 60_000


@pytest.mark.parametrize(
    ("why", "common"),
    [
        ("connection refused by shop.example:443", "connection refused by …"),
        ("connection refused by [2001:db8::1]:8443", "connection refused by …"),
        ("connection refused by 192.0.2.7:80", "connection refused by …"),
        ("host name erp.acme.example does not resolve", "host name … does not resolve"),
        ("certificate expired on 2026-01-02", "certificate expired"),
        ("certificate is for a.example, b.example, not c.example", "certificate is for …, …, not …"),
        ("no answer within 10 s (connecting to localhost:9000)", "no answer within 10 s (connecting to …)"),
        ("no answer within 1.5 s (connected, waiting for it)", "no answer within 1.5 s (connected, waiting for it)"),
        ("answered 500 Internal Server Error", "answered 500 Internal Server Error"),
        ("HTTP/1.1 is needed", "HTTP/1.1 is needed"),
        ("", "no reason is known"),
    ],
)
def test_a_reason_loses_what_differs_between_receivers(why: str, common: str) -> None:
    assert common_reason(why) == common


def test_receivers_are_grouped_by_reason_the_largest_group_first() -> None:
    def failing(number: int, why: str) -> FailingLane:
        return FailingLane(f"i-{number}", "/s", NOW - number, 1, why, "", "", 0)

    groups = groups_of(
        [failing(1, "answered 500"), failing(2, "refused by a.example"), failing(3, "refused by b.example")]
    )
    assert [(group.reason, len(group.lanes)) for group in groups] == [("refused by …", 2), ("answered 500", 1)]
    assert groups[0].since == NOW - 3


@pytest.mark.parametrize(
    ("milliseconds", "words"),
    [(0, "0 ms"), (850, "850 ms"), (12_400, "12 s"), (229_000, "4 min"), (82_900_000, "23 h"), (259_200_000, "3 d")],
)
def test_a_duration_is_written_in_one_unit(milliseconds: int, words: str) -> None:
    assert span(milliseconds) == words


@pytest.mark.parametrize(("seconds", "words"), [(0.0004, "0.4 ms"), (0.0404, "40 ms"), (1.84, "1.8 s"), (12.0, "12 s")])
def test_a_short_time_keeps_a_decimal(seconds: float, words: str) -> None:
    assert took(seconds) == words


def test_json_is_indented_with_its_numbers_as_they_were_written() -> None:
    assert pretty('{"price":10.00,"n":123456789012345678901}') == (
        '{\n  "price": 10.00,\n  "n": 123456789012345678901\n}'
    )
    assert pretty("not {json") == "not {json"
    assert len(pretty("x" * 200_000)) < 70_000


@pytest.mark.parametrize(
    ("scope", "words"),
    [
        (Scope(), "the only store"),
        (Scope("o"), "organisation o"),
        (Scope(None, "s"), "store s"),
        (Scope("o", "s"), "s of o"),
    ],
)
def test_a_scope_has_a_name(scope: Scope, words: str) -> None:
    assert scope_name(scope) == words


def test_a_template_escapes_what_it_is_given() -> None:
    class Visit:
        session = None

    values = {"visit": Visit(), "link": str, "asset": str, "title": "<b>", "detail": "\u202e<script>"}
    shown = rendered("refusal.html", values)
    assert "&lt;b&gt;" in shown
    assert r"\u202e&lt;script&gt;" in shown
    assert "<script>" not in shown


def test_bars_show_every_hour_with_attempts_and_its_failures() -> None:
    shown = bars([0, 4, 100], [0, 4, 1])
    assert [bar.failed_height > 0 for bar in shown] == [True, True]
    assert shown[0].failed_height == shown[0].height
    assert shown[1].failed_height < shown[1].height
    assert all(bar.y >= 0 and bar.y + bar.height == pytest.approx(28) for bar in shown)


def test_a_line_needs_two_values() -> None:
    assert line([1.0]) == ""
    assert line([0.0, 0.0]) == "0.0,26.5 120.0,26.5"
    assert line([0.0, 2.0], 10, 28) == "0.0,26.5 10.0,1.5"
