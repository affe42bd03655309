"""Locates JSON numbers that are too large to be decoded. No I/O."""

import msgspec

#: The largest double, in words.
LARGEST_NUMBER = "1.7e308"
#: Levels that are searched: our documents have named fields no deeper than this.
_DEPTH = 4
_CHILDREN = 1_000
_NAME_CHARS = 80

_members = msgspec.json.Decoder(dict[str, msgspec.Raw])
_elements = msgspec.json.Decoder(list[msgspec.Raw])


def pointer_of_number(raw: bytes) -> str:
    """Return the JSON pointer (RFC 6901) of the first value that cannot be decoded because of a number in it.

    Each level is decoded once more, so this takes a few times as long as decoding. The pointer ends at a list or
    object of more than _CHILDREN members, and before a name that is too long to repeat.
    """
    pointer = ""
    for _ in range(_DEPTH):
        found = next(((name, value) for name, value in _children(raw) if not _is_decodable(value)), None)
        if found is None:
            break
        name, raw = found
        if len(name) > _NAME_CHARS:
            break
        pointer += "/" + name.replace("~", "~0").replace("/", "~1")
    return pointer


def _children(raw: bytes) -> list[tuple[str, bytes]]:
    children: list[tuple[str, msgspec.Raw]]
    try:
        if raw.lstrip().startswith(b"["):
            children = [(str(index), value) for index, value in enumerate(_elements.decode(raw))]
        else:
            children = list(_members.decode(raw).items())
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        # This is the number itself, or what follows it is not JSON.
        return []
    return [(name, bytes(value)) for name, value in children] if len(children) <= _CHILDREN else []


def _is_decodable(raw: bytes) -> bool:
    try:
        msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True
