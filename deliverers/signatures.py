"""Signatures of webhooks, by Standard Webhooks (https://github.com/standard-webhooks/standard-webhooks, version 1)."""

from __future__ import annotations

import binascii
import hmac
from base64 import b64decode, b64encode
from collections.abc import Iterable

PREFIX = "whsec_"
#: Bytes of a key: 192 to 512 bits, as the specification requires.
SHORTEST_KEY = 24
LONGEST_KEY = 64
#: A key as a regular expression, for the API's description; base64 of those lengths.
PATTERN = f"^{PREFIX}[A-Za-z0-9+/]{{32,86}}={{0,2}}$"


def signing_key(text: str) -> bytes:
    """Parse a key: `whsec_` and base64. Raises `ValueError` with what was expected, and never the key."""
    expected = f"must be {PREFIX} followed by {SHORTEST_KEY} to {LONGEST_KEY} bytes in base64"
    if not text.startswith(PREFIX):
        raise ValueError(expected)
    try:
        key = b64decode(text.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(expected) from None
    if not SHORTEST_KEY <= len(key) <= LONGEST_KEY:
        raise ValueError(expected)
    return key


def signature(keys: Iterable[bytes], message_id: str, timestamp: str, body: bytes) -> str:
    """Return the value of `webhook-signature`: one signature per key, as a receiver may know only one key."""
    signed = b".".join((message_id.encode(), timestamp.encode(), body))
    return " ".join(f"v1,{b64encode(hmac.digest(key, signed, 'sha256')).decode()}" for key in keys)
