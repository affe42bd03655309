"""The lines about what an attempt sent and got: everything but the secrets."""

from deliverers.exchange import MASKED, PhaseTimes, WireRecord, received_answer, sent_request
from tests.samples import ODD_HEADERS, ODD_URL
from worker.cli.exchange_lines import exchange_lines


def test_everything_of_a_failure_is_there_and_no_secret() -> None:
    record = WireRecord(
        PhaseTimes(0.0012, 0.0004, None, 2.5),
        sent_request("POST", ODD_URL, ODD_HEADERS, 12, "203.0.113.1"),
        received_answer("HTTP/1.1 500 Oh", [("Server", "x")]),
    )
    text = "\n".join(exchange_lines(record))
    for part in (
        "DNS 1.2 ms, connect 0.4 ms, first byte 2 s",
        "(203.0.113.1)",
        "HTTP/1.1 500 Oh",
        "Server: x",
        "curl ",
    ):
        assert part in text
    assert MASKED in text
    assert "correct-horse" not in text
    assert "geheim" not in text


def test_of_a_message_queue_there_is_no_curl() -> None:
    record = WireRecord(request=sent_request("SEND", "stomp://broker.example:61613", [("destination", "/q")], 1, ""))
    assert not [line for line in exchange_lines(record) if line.startswith("curl")]
    assert list(exchange_lines(WireRecord())) == []
