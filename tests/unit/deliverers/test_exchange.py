"""What a log keeps of a request and an answer: bounded, readable, and without secrets."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deliverers.exchange import (
    MASKED,
    RECORD_BYTES,
    SECRET_HEADERS,
    PhaseTimes,
    WireRecord,
    head_lines,
    received_answer,
    sent_request,
    shown_peer,
)

_LINES = st.lists(st.tuples(st.text(max_size=2_000), st.text(max_size=5_000)), max_size=60)


@given(st.text(max_size=5_000), _LINES, _LINES, st.text(max_size=5_000))
def test_a_record_is_bounded_and_readable_whatever_is_sent_and_answered(
    url: str, sent: list[tuple[str, str]], answered: list[tuple[str, str]], status: str
) -> None:
    request, answer = sent_request("POST", url, sent, 7, ""), received_answer(status, answered)
    record = msgspec.json.encode(WireRecord(PhaseTimes(0.1, 0.2, 0.3, 0.4), request, answer))
    assert len(record) <= RECORD_BYTES
    assert all(line.isprintable() for pair in (*request.headers, *answer.headers) for line in pair)
    assert msgspec.json.decode(record, type=WireRecord).request == request


@pytest.mark.parametrize("name", sorted(SECRET_HEADERS))
def test_a_header_that_holds_a_secret_is_masked(name: str) -> None:
    assert sent_request("POST", "u", [(name.title(), "geheim")], 0, "").headers == ((name.title(), MASKED),)


def test_a_secret_is_masked_wherever_it_comes_back() -> None:
    secrets = (b"correct-horse",)
    request = sent_request(
        "POST", "https://shop.example/?key=correct-horse", [("X", "a correct-horse b")], 0, "", secrets
    )
    answer = received_answer("HTTP/1.1 400 correct-horse", [("echo", "correct-horse")], secrets)
    assert "correct-horse" not in repr((request, answer))
    assert request.headers == (("X", f"a {MASKED} b"),)
    assert request.url == f"https://shop.example/?{MASKED}"


def test_what_is_left_out_is_said() -> None:
    headers = received_answer("HTTP/1.1 200 OK", [(f"x-{n}", "v" * 200) for n in range(50)]).headers
    assert headers[-1] == ("…", f"{50 - len(headers) + 1} more")


@pytest.mark.parametrize(
    ("peer", "host", "shown"),
    [
        ("93.184.216.34", "shop.example", "93.184.216.34"),
        ("10.0.0.7", "shop.example", ""),
        ("10.0.0.7", "10.0.0.7", "10.0.0.7"),
        ("::1", "localhost", ""),
        ("fe80::1%eth0", "shop.example", ""),
        ("2606:2800:220:1::1", "shop.example", "2606:2800:220:1::1"),
        ("", "shop.example", ""),
    ],
)
def test_an_internal_address_is_shown_only_to_those_who_named_it(peer: str, host: str, shown: str) -> None:
    assert shown_peer(peer, host) == shown


def test_a_head_is_read_line_by_line() -> None:
    head = b"HTTP/1.1 200 OK\r\nA: 1\r\nno colon\r\nB:  2:3 \r\n\r\n"
    assert head_lines(head) == ("HTTP/1.1 200 OK", [("A", "1"), ("B", "2:3")])
