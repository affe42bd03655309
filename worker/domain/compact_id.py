"""UUIDs in 22 characters, as the ledger's keys and lists have them.

The alphabet is that of base64 for URLs, in the order of ASCII. So texts have the order of their UUIDs, which PostgreSQL
sorts by.
"""

from binascii import a2b_base64, b2a_base64
from uuid import UUID

#: The length of a text.
COMPACT_BYTES = 22
_BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_SORTED = bytes(sorted(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"))
_WRITTEN = bytes.maketrans(_BASE64, _SORTED)
_READ = bytes.maketrans(_SORTED, _BASE64)


def compact(value: bytes) -> str:
    """Return 16 bytes as a text."""
    return b2a_base64(value, newline=False).translate(_WRITTEN, b"=").decode()


def compact_uuid(value: UUID) -> str:
    """Return a UUID as a text."""
    return compact(value.bytes)


def bytes_of(text: str) -> bytes:
    """Return the 16 bytes of a text; raise ValueError if it is none."""
    value = a2b_base64(text.encode().translate(_READ) + b"==")
    if len(value) != 16:
        raise ValueError(f"{text!r} has {len(text)} characters; expected the {COMPACT_BYTES} of a compact id")
    return value


def uuid_of(text: str) -> UUID:
    """Return the UUID of a text; raise ValueError if it is none."""
    return UUID(bytes=bytes_of(text))


def bytes_of_written(text: str) -> bytes | None:
    """Return the 16 bytes of a UUID as `str(UUID)` writes it; None for any other text."""
    if len(text) != 36 or not text[8] == text[13] == text[18] == text[23] == "-":
        return None
    digits = text.replace("-", "")
    try:
        value = bytes.fromhex(digits)
    except ValueError:
        return None
    return value if len(value) == 16 and value.hex() == digits else None


def written_uuid(value: bytes) -> str:
    """Return `str(UUID(bytes=value))`."""
    digits = value.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
