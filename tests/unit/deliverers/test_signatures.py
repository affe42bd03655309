from __future__ import annotations

from base64 import b64encode
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.signing import SigningKey as SodiumKey
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from deliverers.signatures import SigningKey, signature, signing_key
from tests.ed25519 import verified_by

KEY = "whsec_" + b64encode(bytes(range(32))).decode()


def test_the_specifications_own_vector() -> None:
    """Of the reference implementations' tests."""
    key = signing_key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    signed = signature([key], "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", b'{"test": 2432232314}')
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@given(st.binary(min_size=24, max_size=64), st.binary(max_size=200))
def test_the_reference_library_verifies_what_is_signed(key: bytes, content: bytes) -> None:
    body = b64encode(content).decode()
    text = "whsec_" + b64encode(key).decode()
    stamp = str(int(datetime.now(UTC).timestamp()))
    headers = {
        "webhook-id": "job-1",
        "webhook-timestamp": stamp,
        "webhook-signature": signature([signing_key(text)], "job-1", stamp, f'"{body}"'.encode()),
    }
    assert Webhook(text).verify(f'"{body}"', headers) == body
    with pytest.raises(WebhookVerificationError):
        Webhook(text).verify(f'"{body}x"', headers)


def test_during_a_rotation_a_receiver_may_know_either_key() -> None:
    old, new = bytes(24), bytes(range(24))
    both = signature([new, old], "id", "1", b"{}")
    assert both.split(" ") == [signature([new], "id", "1", b"{}"), signature([old], "id", "1", b"{}")]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "secret",
        KEY.removeprefix("whsec_"),
        "whsec_",
        "whsec_###",
        "whsec_" + b64encode(bytes(23)).decode(),
        "whsec_" + b64encode(bytes(65)).decode(),
        KEY + "\n",
        KEY.rstrip("="),
    ],
)
def test_what_is_no_key_is_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(ValueError, match=r"^must be whsec_ followed by 24 to 64 bytes in base64$"):
        signing_key(text)


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=200))
def test_another_library_verifies_what_ed25519_signs_and_the_reference_library_reads_past_it(
    seed: bytes, content: bytes
) -> None:
    body = f'"{b64encode(content).decode()}"'
    stamp = str(int(datetime.now(UTC).timestamp()))
    public = "whpk_" + b64encode(bytes(SodiumKey(seed).verify_key)).decode()
    signed = signature([signing_key(KEY)], "job-1", stamp, body.encode(), [SigningKey(seed)])
    headers = {"webhook-id": "job-1", "webhook-timestamp": stamp, "webhook-signature": signed}
    assert verified_by(public, headers, body.encode())
    assert not verified_by(public, headers, body.encode() + b" ")
    Webhook(KEY).verify(body, headers)


def test_a_key_signs_until_its_time() -> None:
    old, new = SigningKey(bytes(32), until=100.0), SigningKey(bytes(range(32)))
    assert signature([], "id", "99", b"{}", [new, old]).count("v1a,") == 2
    assert signature([], "id", "100", b"{}", [new, old]) == signature([], "id", "100", b"{}", [new])
    assert signature([], "id", "100", b"{}", [old]) == ""
