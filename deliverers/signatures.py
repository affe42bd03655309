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


class SigningKey:
    """A private key of Ed25519 that signs an integration's webhooks. The worker made it; receivers have the public one.

    Args:
        private: The 32 bytes of the private key.
        until: Seconds since 1970 at which it signs no more; None if no other key has replaced it.
    """

    __slots__ = ("_private", "until")

    def __init__(self, private: bytes, until: float | None = None) -> None:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        self._private = Ed25519PrivateKey.from_private_bytes(private)
        self.until = until

    def sign(self, message: bytes) -> bytes:
        """Return the signature of a message."""
        return self._private.sign(message)


def signature(
    keys: Iterable[bytes], message_id: str, timestamp: str, body: bytes, pairs: Iterable[SigningKey] = ()
) -> str:
    """Return the value of `webhook-signature`: one signature per key, as a receiver may know only one key.

    `keys` sign by HMAC (`v1`), and `pairs` by Ed25519 (`v1a`), those whose time has not run out at the timestamp.
    """
    signed = b".".join((message_id.encode(), timestamp.encode(), body))
    found = [f"v1,{b64encode(hmac.digest(key, signed, 'sha256')).decode()}" for key in keys]
    now = float(timestamp)
    found += [
        f"v1a,{b64encode(pair.sign(signed)).decode()}" for pair in pairs if pair.until is None or now < pair.until
    ]
    return " ".join(found)
