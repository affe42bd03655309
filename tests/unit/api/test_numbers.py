"""Numbers that nothing here can hold: 400, and the place where they stand."""

from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.api.api_errors import ApiError
from worker.api.request_context import decoded

DIGITS = "9" * 200_000


@pytest.mark.parametrize("number", ["1e999", "-1e999", "1e+309", DIGITS, "-" + DIGITS, DIGITS + ".5", "1" * 4301])
@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ("{}", ""),
        ('{{"data":{{"rate_limit":{}}}}}', "/data/rate_limit"),
        ('{{"data":{{"name":"a","configuration":{{"a/b~c":[1,{}]}}}}}}', "/data/configuration/a~1b~0c/1"),
        (' [ 1 , {{ "a" : {} }} ] ', "/1/a"),
        ('{{"a":{}', ""),
        ('{{"a":{},"b":tru}}', ""),
    ],
)
def test_a_number_that_is_too_large_is_refused_with_its_place(body: str, pointer: str, number: str) -> None:
    template = body if "{{" in body else body.replace("{}", "{0}")
    with pytest.raises(ApiError) as refused:
        decoded(template.format(number).encode())
    (error,) = refused.value.document.errors
    assert refused.value.status == 400
    assert not isinstance(error.source, msgspec.UnsetType)
    assert error.source.pointer == pointer
    assert "expected a number" in error.detail
    assert len(error.detail) < 200


def test_the_place_ends_where_a_list_is_long() -> None:
    with pytest.raises(ApiError) as refused:
        decoded(b'{"data":[' + b"1," * 100_000 + b"1e999]}")
    assert refused.value.document.errors[0].detail.startswith("/data: ")


def test_a_name_that_is_too_long_is_not_repeated() -> None:
    with pytest.raises(ApiError) as refused:
        decoded(b'{"data":{"' + b"a" * 10_000 + b'":1e999}}')
    assert refused.value.document.errors[0].detail.startswith("/data: ")


@given(st.lists(st.sampled_from([*'{}[]",:\\', "1e999", "9" * 4301, '"a"', "null", "\xff", "1", " "])).map("".join))
def test_a_body_is_decoded_or_refused_and_nothing_else(text: str) -> None:
    with suppress(ApiError):
        decoded(text.encode("latin-1"))


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "1e", "0x10", "٣", "²"])
def test_what_is_no_number_is_no_json(text: str) -> None:
    with pytest.raises(ApiError, match="is not JSON|is not UTF-8"):
        decoded(text.encode())


@pytest.mark.parametrize("number", ["1e308", "-1e308", "1e-999", "9" * 300])
def test_a_number_that_can_be_held_is_decoded(number: str) -> None:
    held: Any = decoded(number.encode())
    assert float(held) == float(number)
