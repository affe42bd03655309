"""How the JSON of an event is stored. The number of the way stands in the event's record."""

#: As it is.
PLAIN = 0


def encoded(raw: bytes) -> tuple[int, bytes]:
    """Return the way in which an event's JSON is stored, and the bytes to store."""
    return PLAIN, raw


def decoded(codec: int, payload: bytes, size: int) -> bytes:
    """Return the JSON of `size` bytes; raise ValueError if the payload does not hold it."""
    if codec != PLAIN:
        raise ValueError(
            f"an event is stored in the way {codec}, which this version does not know: update this process"
        )
    if len(payload) != size:
        raise ValueError(f"an event has {len(payload)} bytes, and {size} are expected")
    return payload
