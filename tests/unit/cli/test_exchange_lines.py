"""The curl command that repeats a request does what it says, in a real shell."""

import subprocess

from deliverers.exchange import MASKED, PhaseTimes, WireRecord, received_answer, sent_request
from worker.cli.exchange_lines import curl_line, exchange_lines

HEADERS = [
    ("Host", "shop.example"),
    ("Content-Length", "12"),
    ("X-Odd", 'it\'s "$HOME" `id` \\ *'),
    ("X-MOLTIN-SECRET-KEY", "correct-horse"),
]
URL = "https://shop.example/hook's $(id)?token=geheim"


def test_a_shell_takes_every_word_as_it_was_sent_and_secrets_from_variables() -> None:
    line = curl_line(sent_request("POST", URL, HEADERS, 12, ""))
    script = f"curl() {{ printf '%s\\n' \"$@\"; }}; X_MOLTIN_SECRET_KEY=from-the-shell; QUERY=a=1; {line}"
    words = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True).stdout.splitlines()
    odd = 'X-Odd: it\'s "$HOME" `id` \\ *'
    secret = "X-MOLTIN-SECRET-KEY: from-the-shell"
    assert words == [
        "-X",
        "POST",
        "https://shop.example/hook's $(id)?a=1",
        "-H",
        odd,
        "-H",
        secret,
        "--data-binary",
        "@body.json",
    ]


def test_everything_of_a_failure_is_there_and_no_secret() -> None:
    record = WireRecord(
        PhaseTimes(0.0012, 0.0004, None, 2.5),
        sent_request("POST", URL, HEADERS, 12, "203.0.113.1"),
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
