"""Names as UUIDs."""

from hashlib import sha1


def name_uuid(namespace: bytes, name: str) -> str:
    """Return the UUID of version 5 (RFC 9562) of a name in a namespace of 16 bytes.

    It equals `str(uuid.uuid5(UUID(bytes=namespace), name))`, at a quarter of the cost: an observer makes one for every
    job.
    """
    digest = bytearray(sha1(namespace + name.encode(), usedforsecurity=False).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x50
    digest[8] = digest[8] & 0x3F | 0x80
    text = digest.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
