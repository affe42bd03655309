"""Key pairs that sign an integration's webhooks (Ed25519, `v1a` of Standard Webhooks), and their rotation.

The worker makes them. The ledger has the private keys sealed; people get the public ones.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import TYPE_CHECKING

from worker.domain.event import Refusal
from worker.domain.secrets_box import SecretsBox

if TYPE_CHECKING:
    from deliverers.signatures import SigningKey

PRIVATE_PREFIX = "whsk_"
PUBLIC_PREFIX = "whpk_"
#: Key pairs of one integration that sign at once, at most: each adds a signature to every webhook.
MOST_KEYS = 3
#: Seconds; for how long a replaced key goes on signing, unless the rotation says otherwise, and at most.
USUAL_OVERLAP = 86_400.0
LONGEST_OVERLAP = 30 * 86_400.0


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A key pair as the ledger keeps it. Times are milliseconds since 1970."""

    id: str
    #: `whpk_` and base64.
    public_key: str
    #: Sealed: `whsk_` and base64.
    private_key: str = field(repr=False)
    created_at: int
    #: When it signs no more; 0 while no other key has replaced it.
    retires_at: int = 0

    def signs_at(self, now: float) -> bool:
        """Return whether it signs."""
        return not self.retires_at or now < self.retires_at


def new_pair(secrets: SecretsBox, now: int) -> KeyPair:
    """Make a key pair. Raises SecretsError if there is no key to seal it with."""
    # Imported here, because most processes make none.
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    private = Ed25519PrivateKey.generate()
    public = private.public_key().public_bytes_raw()
    text = PRIVATE_PREFIX + b64encode(private.private_bytes_raw()).decode()
    sealed = secrets.seal({"key": text}, ("key",))["key"]
    return KeyPair(sha256(public).hexdigest()[:16], PUBLIC_PREFIX + b64encode(public).decode(), sealed, now)


def signing(pairs: Sequence[KeyPair] | None, now: float) -> tuple[KeyPair, ...]:
    """Return the pairs that sign, the newest first."""
    return tuple(pair for pair in pairs or () if pair.signs_at(now))


def rotated(pairs: Sequence[KeyPair] | None, fresh: KeyPair, now: int, overlap: float) -> tuple[KeyPair, ...] | Refusal:
    """Return the pairs after a rotation: the fresh one, and those that still sign for `overlap` seconds.

    An overlap of 0 ends the others at once, as is right for a key that somebody has stolen.
    """
    end = now + round(overlap * 1000)
    older = [replace(pair, retires_at=min(pair.retires_at or end, end)) for pair in signing(pairs, now)]
    kept = (fresh, *(pair for pair in older if pair.signs_at(now)))
    if len(kept) > MOST_KEYS:
        words = f"would be {len(kept)} keys that sign, and at most {MOST_KEYS} may: wait, or choose an overlap of 0"
        return Refusal("overlap", words)
    return kept


def overlap_problem(overlap: object) -> str:
    """Return why a number of seconds cannot be an overlap; empty if it can."""
    is_number = isinstance(overlap, int | float) and not isinstance(overlap, bool)
    if is_number and 0 <= overlap <= LONGEST_OVERLAP:  # type: ignore[operator]  # it is a number
        return ""
    return f"must be seconds, from 0 to {LONGEST_OVERLAP:,.0f}"


def renewed(pairs: Sequence[KeyPair] | None, secrets: SecretsBox) -> tuple[KeyPair, ...] | None:
    """Return the pairs sealed by the newest key. Raises SecretsError if no key opens one."""
    if pairs is None:
        return None
    return tuple(
        replace(pair, private_key=secrets.renewed({"key": pair.private_key}, ("key",))["key"]) for pair in pairs
    )


def opened_keys(pairs: Sequence[KeyPair] | None, secrets: SecretsBox) -> tuple[SigningKey, ...]:
    """Return the keys that sign, in the clear. Raises SecretsError if no key opens one."""
    if not pairs:
        return ()
    from deliverers.signatures import SigningKey

    texts = ((pair, secrets.open({"key": pair.private_key}, ("key",))["key"]) for pair in pairs)
    return tuple(
        SigningKey(b64decode(text.removeprefix(PRIVATE_PREFIX)), pair.retires_at / 1000 or None) for pair, text in texts
    )
