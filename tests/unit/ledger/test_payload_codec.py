"""An event's JSON comes back byte for byte, and what is damaged is an error and no flood."""

from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from importlib.resources import files

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.benchmarks.order import ORG_ID
from tests.benchmarks.varied_orders import VariedOrders
from worker.ledger.events.payload_codec import PLAIN, ZSTD_1, decoded, encoded

#: The names of an event that its JSON does not have.
_NONE = ("", None, None)


@given(st.binary(max_size=5_000))
def test_every_payload_comes_back_byte_for_byte(raw: bytes) -> None:
    codec, payload = encoded(raw, _NONE)
    assert len(payload) <= len(raw)
    assert decoded(codec, payload, len(raw), _NONE) == raw


#: Texts that occur in each other, and that look like JSON or like a mark.
_PIECES = st.sampled_from(['"a"', '"b"', '"a","b"', '"', "\x01", "\x02", "\x03", "a", "b", "\\", "ü", "filling " * 9])
_NAMES = st.sampled_from(["a", "b", 'a","b', "", "\x01", "\x02", "ü", "\\", "filling "])


@given(st.lists(_PIECES, max_size=30), _NAMES, st.none() | _NAMES, st.none() | _NAMES)
def test_names_of_the_head_come_back_byte_for_byte(
    pieces: list[str], event_id: str, org_id: str | None, store_id: str | None
) -> None:
    raw, names = "".join(pieces).encode(), (event_id, org_id, store_id)
    codec, payload = encoded(raw, names)
    assert decoded(codec, payload, len(raw), names) == raw


def test_names_of_the_head_are_not_stored_again() -> None:
    orders = VariedOrders("0c6fd4b1-5f36-4ad5-9f0c-0f0ce9bbd5b4", 1)
    sizes = {True: 0, False: 0}
    for _ in range(20):
        raw = orders.event()
        for has_names in sizes:
            event_id = msgspec.json.decode(raw)["id"]
            names = (event_id, ORG_ID, "0c6fd4b1-5f36-4ad5-9f0c-0f0ce9bbd5b4") if has_names else _NONE
            sizes[has_names] += len(encoded(raw, names)[1])
    # A random UUID has 16 bytes that no compression can save.
    assert sizes[True] < sizes[False] - 20 * 16 * len(_NONE)


def test_an_event_of_a_shop_takes_less_than_half() -> None:
    raw = VariedOrders("s", 1).event()
    codec, payload = encoded(raw, _NONE)
    assert codec == ZSTD_1
    assert len(payload) < len(raw) / 2
    assert decoded(codec, payload, len(raw), _NONE) == raw


def test_what_does_not_get_smaller_is_stored_as_it_is() -> None:
    assert encoded(b"{}", _NONE) == (PLAIN, b"{}")


def test_threads_compress_beside_each_other() -> None:
    orders = VariedOrders("s", 2)
    raws = [orders.event() for _ in range(500)]
    with ThreadPoolExecutor(8) as pool:
        stored = list(pool.map(lambda raw: encoded(raw, _NONE), raws))
    assert [decoded(*each, len(raw), _NONE) for each, raw in zip(stored, raws, strict=True)] == raws


@pytest.mark.parametrize("size", [0, 1, 1_000, 10_000_000])
def test_no_more_than_the_size_of_an_event_is_decompressed(size: int) -> None:
    raw = b"a" * 1_000_000
    codec, payload = encoded(raw, _NONE)
    with pytest.raises(ValueError, match="an event"):
        decoded(codec, payload, size, _NONE)


@pytest.mark.parametrize(
    ("codec", "payload", "why"),
    [(ZSTD_1, b"damaged", "cannot be decompressed"), (PLAIN, b"short", "has 5 bytes"), (9, b"", "update this process")],
)
def test_a_payload_that_cannot_be_read_is_an_error_that_says_why(codec: int, payload: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        decoded(codec, payload, 100, _NONE)


def test_the_dictionary_of_stored_events_never_changes() -> None:
    """Events that are stored with it could not be read any more: a better one gets a number of its own."""
    kept = (files("worker.ledger.events") / "payload_dictionary_1.zstd").read_bytes()
    assert sha256(kept).hexdigest() == "4902176fe5e2aa065384fac15c79a5fa4a23940aeb13357a5883c346d98feb34"
