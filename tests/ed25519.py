"""Verification of Ed25519 signatures as a receiver does it, by a library that is not ours: libsodium."""

from base64 import b64decode
from collections.abc import Mapping

from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey


def verified_by(public_key: str, headers: Mapping[str, str], body: bytes) -> bool:
    """Whether one of a webhook's `v1a` signatures is by the key whose public one (`whpk_…`) is given."""
    key = VerifyKey(b64decode(public_key.removeprefix("whpk_")))
    signed = b".".join((headers["webhook-id"].encode(), headers["webhook-timestamp"].encode(), body))
    for each in headers.get("webhook-signature", "").split():
        version, _, signature = each.partition(",")
        if version == "v1a":
            try:
                key.verify(signed, b64decode(signature))
            except BadSignatureError:
                continue
            return True
    return False
