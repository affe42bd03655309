"""How the JSON of an event is stored: compressed with a dictionary of typical events, where that makes it smaller.

The number of the codec stands in the event's record. A dictionary that was released never changes, because stored
events need it: a better one is another codec. `python -m tests.benchmarks.payload_training` makes one.

An event's JSON repeats what the head of its record has: the event's id, its organisation and its store. A byte that
JSON cannot contain stands for the first of each, which saves a twelfth.
"""

from functools import cache, lru_cache
from pathlib import Path
from threading import local

import zstandard

#: As it is.
PLAIN = 0
#: Zstandard with payload_dictionary_1.zstd, with marks for the names of the head.
ZSTD_1 = 1
#: What stands for the event's id, the organisation and the store.
_ID, _ORG, _STORE = b"\x01", b"\x02", b"\x03"
#: Level 3 costs 8 µs for an event of 1,355 bytes; higher levels save little.
_LEVEL = 3


#: The names of an event's head that its JSON repeats: its id, its organisation and its store; None or empty for none.
Names = tuple[str, str | None, str | None]


class _Coders(local):
    """The coders of one thread: they must not be used by two at once."""

    def __init__(self) -> None:
        dictionary = _dictionary()
        self.compressor = zstandard.ZstdCompressor(
            level=_LEVEL, dict_data=dictionary, write_content_size=False, write_checksum=False, write_dict_id=False
        )
        self.decompressor = zstandard.ZstdDecompressor(dict_data=dictionary)


@cache
def _dictionary() -> zstandard.ZstdCompressionDict:
    found = zstandard.ZstdCompressionDict(Path(__file__).with_name("payload_dictionary_1.zstd").read_bytes())
    found.precompute_compress(level=_LEVEL)
    return found


@cache
def _coders() -> _Coders:
    return _Coders()


def encoded(raw: bytes, names: Names) -> tuple[int, bytes]:
    """Return the codec by which an event's JSON is stored, and the bytes to store."""
    # Bytes are found several times faster by their numbers.
    if _ID[0] in raw or _ORG[0] in raw or _STORE[0] in raw:
        return PLAIN, raw  # no JSON
    compressed = _coders().compressor.compress(marked(raw, names))
    return (ZSTD_1, compressed) if len(compressed) < len(raw) else (PLAIN, raw)


def decoded(codec: int, payload: bytes, size: int, names: Names) -> bytes:
    """Return the JSON of `size` bytes, byte for byte as it was accepted; raise ValueError if the payload differs."""
    match codec:
        case 0:
            raw = payload
        case 1:
            raw = _unmarked(_decompressed(payload, size), names)
        case _:
            raise ValueError(
                f"an event is stored with the codec {codec}, which this version does not know: update this process"
            )
    if len(raw) != size:
        raise ValueError(f"an event has {len(raw)} bytes, and {size} are expected")
    return raw


def marked(raw: bytes, names: Names) -> bytes:
    """Return an event's JSON with marks in place of the names."""
    event_id, org_id, store_id = names
    if event_id:
        raw = raw.replace(b'"' + event_id.encode() + b'"', _ID, 1)
    if org_id:
        raw = raw.replace(_quoted(org_id), _ORG, 1)
    if store_id:
        raw = raw.replace(_quoted(store_id), _STORE, 1)
    return raw


def _unmarked(text: bytes, names: Names) -> bytes:
    event_id, org_id, store_id = names
    if event_id:
        text = text.replace(_ID, b'"' + event_id.encode() + b'"', 1)
    if org_id:
        text = text.replace(_ORG, _quoted(org_id), 1)
    if store_id:
        text = text.replace(_STORE, _quoted(store_id), 1)
    return text


@lru_cache(4096)  # a worker sees the same few stores again and again
def _quoted(name: str) -> bytes:
    return b'"' + name.encode() + b'"'


def _decompressed(payload: bytes, size: int) -> bytes:
    try:
        # Without a limit, a damaged record could fill the memory.
        return _coders().decompressor.decompress(payload, max_output_size=max(1, size))
    except zstandard.ZstdError as error:
        raise ValueError(f"an event cannot be decompressed: {error}") from error
