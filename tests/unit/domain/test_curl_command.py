"""The curl command that repeats a request does what it says, in a real shell."""

import subprocess

from deliverers.exchange import sent_request
from tests.samples import ODD_HEADERS, ODD_URL
from worker.domain.curl_command import curl_line


def test_a_shell_takes_every_word_as_it_was_sent_and_secrets_from_variables() -> None:
    line = curl_line(sent_request("POST", ODD_URL, ODD_HEADERS, 12, ""))
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
