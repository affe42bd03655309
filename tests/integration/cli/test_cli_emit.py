"""`edw emit`: events into the ledger, one or many."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from secrets import token_hex

import msgspec
import pytest

from tests.counterparts.redis_server import RedisServer
from tests.fleet.edw_command import Edw
from tests.ledger import inspection
from worker.domain.stored_event import StoredEvent
from worker.ledger import Ledger

pytestmark = pytest.mark.usefixtures("redis_url")


def kept(url: str) -> Sequence[StoredEvent]:
    """The events of the inbox."""

    async def read() -> Sequence[StoredEvent]:
        ledger = Ledger(url)
        await ledger.open()
        try:
            return (await ledger.inbox.load(await inspection.inbox(ledger))).events
        finally:
            await ledger.close()

    return asyncio.run(read())


def test_an_event_is_accepted_with_a_sample_where_no_data_is_given(edw: Edw, redis_url: str) -> None:
    result = edw("emit", "order.paid", "--json")

    (stored,) = kept(redis_url)
    assert result.code == 0, result.text
    assert result.json == {"id": stored.event.id, "duplicate": False, "differs": False}
    assert msgspec.json.decode(stored.event.data)["type"] == "order"


def test_data_and_included_are_kept_byte_for_byte(edw: Edw, redis_url: str, tmp_path: Path) -> None:
    data = '{"type":"order","total": 10.00,"n":123456789012345678901234567890,"name":"Zoë"}'
    included = '{"items":[{"price":149.90}]}'
    (tmp_path / "included.json").write_text(included)

    result = edw(
        *("emit", "order.paid", "--data", "-", "--included", str(tmp_path / "included.json"), "--id", "event-1"),
        *("--store", "s", "--org", "o", "--source", "https://shop.example"),
        stdin=b"\xef\xbb\xbf" + data.encode() + b"\n",
    )

    assert result.code == 0, result.text
    (stored,) = kept(redis_url)
    event = stored.event
    assert (event.data, event.included) == (data.encode(), included.encode())
    assert (event.id, event.scope.store_id, event.scope.org_id, event.source) == (
        *("event-1", "s", "o"),
        "https://shop.example",
    )


def test_the_same_command_twice_is_the_same_event_twice(edw: Edw) -> None:
    edw("emit", "order.paid", "--id", "1")
    assert edw("emit", "order.paid", "--id", "1", "--json").json == {"id": "1", "duplicate": True, "differs": False}


def test_the_same_id_again_is_accepted_and_said(edw: Edw) -> None:
    edw("emit", "order.paid", "--id", "1", "--data", "-", stdin=b'{"id":"a"}')

    again = edw("emit", "order.paid", "--id", "1", "--data", "-", stdin=b'{"id":"a"}')
    other = edw("emit", "order.paid", "--id", "1", "--data", "-", "--json", stdin=b'{"id":"b"}')

    assert (again.code, other.code) == (0, 0)
    assert "a duplicate of a known event" in again.out
    assert other.json == {"id": "1", "duplicate": True, "differs": True}


@pytest.mark.parametrize(
    ("arguments", "data", "field", "part"),
    [
        (["order.payed"], b"{}", "type", "order.paid"),
        (["order.paid"], b"[1]", "data", "object"),
        (["order.paid"], b'{"a":1},"type":"order.created"', "data", "JSON"),
        (["order.paid"], b"", "data", "JSON"),
        (["order.paid"], b'{"a":"\xff"}', "data", "UTF-8"),
        (["order.paid", "--id", "x" * 129], b"{}", "id", "128"),
        (["order.paid", "--id", "a\nb"], b"{}", "id", "control"),
        (["order.paid", "--org", "o"], b"{}", "type", "level"),
        (["order.paid"], b'{"a":"' + b"x" * (1 << 20) + b'"}', "", "at most"),
    ],
)
def test_a_bad_event_is_refused_with_field_and_reason(
    edw: Edw, arguments: list[str], data: bytes, field: str, part: str
) -> None:
    result = edw("emit", *arguments, "--data", "-", stdin=data)

    assert result.code == 1
    assert f"refused: {field}" in result.err
    assert part in result.err
    assert "Traceback" not in result.err


def test_a_file_is_published_and_each_bad_line_is_reported_by_number(edw: Edw, redis_url: str, tmp_path: Path) -> None:
    lines = [
        b'{"type":"order.paid","id":"1","data":{"total":10.00}}',
        b"not json",
        b"",
        b'{"type":"order.payed","data":{}}',
        b'{"type":"order.paid","data":[]}',
        b'{"type":"order.paid","id":"1","data":{"total":10.00}}',
        b'{"type":"order.paid","id":"2","data":{"x":"' + b"x" * (2 << 20) + b'"}}',
        b'{"type":"order.paid","id":"3","data":{}}',
    ]
    path = tmp_path / "events.ndjson"
    path.write_bytes(b"\n".join(lines))

    result = edw("emit", "--file", str(path))

    assert result.code == 1
    errors = result.err.splitlines()
    assert [line.partition(":")[0] for line in errors] == ["line 2", "line 4", "line 5", "line 7"]
    assert "is not JSON" in errors[0]
    assert "order.paid" in errors[1]
    assert "data: " in errors[2]
    assert "accepted 2, duplicates 1, refused 4" in result.out
    assert {stored.event.id for stored in kept(redis_url)} == {"1", "3"}


def test_a_file_of_thousands_goes_in_batches_and_the_tally_is_json_for_scripts(edw: Edw, redis_url: str) -> None:
    lines = b"\n".join(b'{"type":"order.paid","id":"%d","data":{}}' % number for number in range(2_500))

    result = edw("emit", "--file", "-", "--json", stdin=lines + b"\n{}")

    assert result.code == 1
    assert result.json["accepted"] == 2_500
    assert [each["line"] for each in result.json["refused"]] == [2_501]
    assert result.json["refused"][0]["field"] in ("type", "data")
    assert edw("status", "--json").json["events"]["accepted"] == 2_500


def test_a_file_without_a_bad_line_ends_with_0(edw: Edw) -> None:
    assert edw("emit", "--file", "-", stdin=b'{"type":"order.paid","data":{}}\n').code == 0
    assert edw("emit", "--file", "-", stdin=b"").code == 0


def test_a_full_redis_says_up_to_which_line_it_went(edw: Edw) -> None:
    # What the ledger cannot compress.
    lines = b"".join(b'{"type":"order.paid","data":{"x":"%s"}}\n' % token_hex(20_000).encode() for _ in range(1_000))
    with RedisServer(maxmemory="12mb") as full:
        result = edw("emit", "--file", "-", stdin=lines, EDW_REDIS_URL=full.url)

    assert result.code == 1
    assert "memory limit" in result.err
    assert "Lines up to " in result.err
    assert "tail -n +" in result.err


def test_a_broker_that_is_gone_delays_nobody(edw: Edw) -> None:
    result = edw("emit", "order.paid", "--json", EDW_BROKER_URL="amqp://127.0.0.1:1//")

    assert result.code == 0, result.text
    assert result.json["duplicate"] is False


def test_a_flat_payload_is_kept_byte_for_byte_in_place_of_data(edw: Edw, redis_url: str) -> None:
    flat = '{"purpose":"reset","n": 10.00}'
    key = "one-time-password-token-request.created"

    result = edw("emit", key, "--payload", "-", "--id", "event-1", stdin=flat.encode())

    assert result.code == 0, result.text
    (stored,) = kept(redis_url)
    assert (stored.event.flat, stored.event.data, stored.event.type) == (True, flat.encode(), key)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("order.paid", "--payload", "-", "--data", __file__), 2, "either --data (with --included) or --payload"),
        (("order.paid", "--payload", "-", "--included", __file__), 2, "either --data (with --included) or --payload"),
        (("order.paid", "--payload", "-"), 1, "refused: payload: expected an object"),
    ],
)
def test_a_payload_is_an_object_and_comes_alone(edw: Edw, arguments: Sequence[str], code: int, said: str) -> None:
    result = edw("emit", *arguments, stdin=b"[]")
    assert (result.code, said in result.text) == (code, True), result.text
