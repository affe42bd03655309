from __future__ import annotations

from math import inf

import pytest

from deliverers.stomp import stomp_session
from deliverers.stomp.frames import Frame, NotStomp
from deliverers.stomp.pool import BACKOFF, pause_after
from deliverers.stomp.stomp_session import (
    IDLE_SECONDS,
    SUSPECT_AFTER,
    Accepted,
    Confirmed,
    Due,
    Ended,
    HeartBeats,
    MessageRejected,
    StompSession,
)

GREETING = Frame("CONNECTED", {"version": "1.2", "heart-beat": "10000,10000"})
SILENT_GREETING = Frame("CONNECTED", {"version": "1.2"})


def connected(greeting: Frame = GREETING, now: float = 0.0) -> StompSession[str]:
    session = StompSession[str](now)
    assert session.receive(greeting) == Accepted()
    return session


def sent(session: StompSession[str], *waiters: str, deadline: float = 10.0) -> None:
    for waiter in waiters:
        session.sent(session.next_receipt, waiter, deadline)


def receipt(number: int | str) -> Frame:
    return Frame("RECEIPT", {"receipt-id": str(number)})


def error(number: int | str | None = None) -> Frame:
    return Frame("ERROR", {"message": "no"} | ({"receipt-id": str(number)} if number is not None else {}))


def test_a_receipt_is_its_senders_whatever_the_order() -> None:
    session = connected()
    sent(session, "a", "b", "c")
    assert [session.receive(receipt(n)) for n in (2, 1)] == [Confirmed("b"), Confirmed("a")]
    assert session.pending == 1
    assert session.proven


def test_the_receipts_of_a_piece_are_their_senders_until_one_makes_no_sense() -> None:
    session = connected()
    sent(session, "late")
    assert session.due(10.0).expired == ("late",)
    sent(session, "a", "b", "c", deadline=20.0)
    assert list(session.confirmed(["3", "1", "2"])) == ["b", "a"]
    waiters = session.confirmed(["4", "5"])
    assert next(waiters) == "c"
    with pytest.raises(NotStomp, match="not asked for"):
        next(waiters)
    with pytest.raises(NotStomp, match="RECEIPT before CONNECTED"):
        list(StompSession[str](0.0).confirmed(["1"]))


def test_an_error_with_a_receipt_id_is_one_senders_and_without_it_is_everybodys() -> None:
    session = connected()
    sent(session, "a", "b", "c")
    assert session.receive(error(2)) == MessageRejected("b", error(2))
    assert session.receive(error()) == Ended(error())
    assert session.end() == ("a", "c")
    assert session.pending == 0


def test_answers_that_come_too_late_or_twice_are_nobodys() -> None:
    session = connected()
    sent(session, "a")
    assert session.due(10.0).expired == ("a",)
    assert session.receive(receipt(1)) is None
    assert session.receive(error(1)) is None


@pytest.mark.parametrize("number", ["2", "0", "-1", "x", "", "01x", "٣", "9" * 30])
def test_a_receipt_that_nobody_asked_for_is_no_receipt(number: str) -> None:
    session = connected()
    sent(session, "a")
    with pytest.raises(NotStomp):
        session.receive(receipt(number))
    assert session.receive(error(number)) == Ended(error(number))


@pytest.mark.parametrize("command", ["MESSAGE", "CONNECTED"])
def test_a_frame_that_a_producer_never_gets_makes_no_sense(command: str) -> None:
    with pytest.raises(NotStomp, match=command):
        connected().receive(Frame(command, {}))


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (receipt(1), "RECEIPT before CONNECTED"),
        (Frame("CONNECTED", {}), "'1.0'"),
        (Frame("CONNECTED", {"version": "1.1"}), "'1.1'"),
        (Frame("CONNECTED", {"version": "1.2", "heart-beat": "1"}), "heart-beat"),
    ],
)
def test_a_greeting_that_is_none_is_refused(frame: Frame, words: str) -> None:
    with pytest.raises(NotStomp, match=words):
        StompSession[str](0.0).receive(frame)


def test_an_error_in_place_of_a_greeting_is_a_refused_login() -> None:
    assert StompSession[str](0.0).receive(error()) == Ended(error())


@pytest.mark.parametrize(
    ("offered", "agreed"),
    [
        ("0,0", HeartBeats(inf, inf)),
        ("10000,10000", HeartBeats(10.0, 10.0)),
        ("20000,30000", HeartBeats(30.0, 20.0)),  # (we give what they want, they give what they can)
        ("5,5", HeartBeats(10.0, 10.0)),
        ("0,15000", HeartBeats(15.0, inf)),
        ("15000,0", HeartBeats(inf, 15.0)),
        ("99999999999,1", HeartBeats(10.0, inf)),
        ("9" * 30 + ",1", HeartBeats(inf, inf)),
    ],
)
def test_signs_of_life_are_agreed_upon(offered: str, agreed: HeartBeats) -> None:
    assert HeartBeats.agreed(offered) == agreed


@pytest.mark.parametrize("offered", ["", "10", "a,b", "1,2,3", "-1,1", "1.5,2", "٣,٣"])
def test_signs_of_life_that_are_no_numbers_are_refused(offered: str) -> None:
    with pytest.raises(NotStomp):
        HeartBeats.agreed(offered)


def test_a_sign_of_life_is_due_when_nothing_was_written_for_half_an_interval() -> None:
    session = connected()
    session.note_received(5.0)
    session.note_sent(4.0)
    assert session.next_due() == 9.0
    assert session.due(8.9) == Due()
    assert session.due(9.0) == Due(beat=True)
    session.note_heart_beat(9.0)
    assert session.due(9.0) == Due()


def test_a_peer_that_is_silent_for_two_intervals_is_dead() -> None:
    session = connected()
    session.note_heart_beat(19.0)
    assert session.due(19.9).verdict is None
    assert session.due(20.0).verdict == "no sign of life for 20 s"
    session.note_received(19.5)
    assert session.due(20.0).verdict is None


def test_a_peer_that_promised_no_signs_of_life_may_be_silent() -> None:
    assert connected(SILENT_GREETING).due(1e6).verdict is None


def test_each_waits_until_its_own_deadline() -> None:
    session = connected(SILENT_GREETING)
    sent(session, "late", deadline=30.0)
    sent(session, "early", deadline=20.0)  # it had waited before it could be sent
    assert session.next_due() == 20.0
    assert session.due(19.9).expired == ()
    assert session.due(20.0).expired == ("early",)
    assert session.next_due() == 30.0
    assert session.pending == 1


def test_a_connection_that_answers_nothing_is_suspect() -> None:
    session = connected(SILENT_GREETING)
    sent(session, *"abcdefg"[:SUSPECT_AFTER])
    assert session.due(10.0) == Due(
        tuple("abcdefg"[:SUSPECT_AFTER]), verdict=f"no receipt for {SUSPECT_AFTER} messages in a row"
    )
    assert not session.proven


def test_an_answer_in_between_clears_the_suspicion() -> None:
    session = connected(SILENT_GREETING)
    for _ in range(5):
        sent(session, *"abcdefg"[: SUSPECT_AFTER - 1])
        assert session.due(10.0).verdict is None
        sent(session, "answered")
        number = int(session.next_receipt) - 1
        assert session.receive(receipt(number)) == Confirmed("answered")


def test_a_connection_that_nobody_uses_is_idle_though_it_gives_signs_of_life() -> None:
    session = connected()
    session.note_sent(5.0)
    session.note_heart_beat(5.0 + IDLE_SECONDS - 1)
    session.note_received(5.0 + IDLE_SECONDS)
    assert not session.due(5.0 + IDLE_SECONDS - 0.1).idle
    assert session.due(5.0 + IDLE_SECONDS).idle


def test_a_connection_that_is_waited_at_is_not_idle() -> None:
    session = connected(SILENT_GREETING)
    sent(session, "a", deadline=1e9)
    assert session.due(1e6) == Due()


def test_intervals_are_asked_for() -> None:
    assert stomp_session.HEART_BEAT_MS == 10_000
    assert stomp_session.SILENT_INTERVALS == 2


def test_pauses_between_tries_grow_to_a_bound_and_are_spread() -> None:
    assert pause_after(0, 0.5) == 0.0
    assert pause_after(1, 0.5) == pytest.approx(BACKOFF.first)
    assert pause_after(2, 0.5) == pytest.approx(2 * BACKOFF.first)
    assert pause_after(1_000_000, 0.5) == pytest.approx(BACKOFF.longest)
    assert pause_after(1, 0.0) == pytest.approx(0.8 * BACKOFF.first)
    assert pause_after(1, 1.0) == pytest.approx(1.2 * BACKOFF.first)
