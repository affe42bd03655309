"""How the JSON of an event is stored: compressed with a dictionary of typical events, where that makes it smaller.

The number of the codec stands in the event's record. A dictionary that was released never changes, because stored
events need it: a better one is another codec. `python -m tests.benchmarks.payload_training` makes one.
"""

from functools import cache
from pathlib import Path
from threading import local

import zstandard

#: As it is.
PLAIN = 0
#: Zstandard with payload_dictionary_1.zstd.
ZSTD_1 = 1
#: Level 3 costs 8 µs for an event of 1,355 bytes; higher levels save little.
_LEVEL = 3


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


def encoded(raw: bytes) -> tuple[int, bytes]:
    """Return the codec by which an event's JSON is stored, and the bytes to store."""
    compressed = _coders().compressor.compress(raw)
    return (ZSTD_1, compressed) if len(compressed) < len(raw) else (PLAIN, raw)


def decoded(codec: int, payload: bytes, size: int) -> bytes:
    """Return the JSON of `size` bytes, byte for byte as it was accepted; raise ValueError if the payload differs."""
    match codec:
        case 0:
            raw = payload
        case 1:
            raw = _decompressed(payload, size)
        case _:
            raise ValueError(
                f"an event is stored with the codec {codec}, which this version does not know: update this process"
            )
    if len(raw) != size:
        raise ValueError(f"an event has {len(raw)} bytes, and {size} are expected")
    return raw


def _decompressed(payload: bytes, size: int) -> bytes:
    try:
        # Without a limit, a damaged record could fill the memory.
        return _coders().decompressor.decompress(payload, max_output_size=max(1, size))
    except zstandard.ZstdError as error:
        raise ValueError(f"an event cannot be decompressed: {error}") from error
