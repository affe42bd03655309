"""Numbers of JSON that are too large for anything here. No I/O."""

import msgspec

#: What a double holds, in words.
LARGEST_NUMBER = "1.7e308"
#: How deep the place of a number is looked for: as deep as a body of ours has fields with names.
_DEPTH = 4
_CHILDREN = 1_000
_NAME_CHARS = 80

_members = msgspec.json.Decoder(dict[str, msgspec.Raw])
_elements = msgspec.json.Decoder(list[msgspec.Raw])


def pointer_of_number(raw: bytes) -> str:
    """Return the JSON pointer (RFC 6901) of the first value that cannot be decoded because of a number in it.

    Each level is decoded once more, so that this costs a few times what decoding does. The place ends at a list or an
    object of more than _CHILDREN members, and before a name that is too long to be repeated.
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
        # The number itself, or what stands behind it and is not JSON.
        return []
    return [(name, bytes(value)) for name, value in children] if len(children) <= _CHILDREN else []


def _is_decodable(raw: bytes) -> bool:
    try:
        msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True
