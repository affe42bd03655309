"""What operators write: quantities, keys and addresses."""

from math import isfinite

from config import units
from config.observable_events import observable_key
from deliverers.signatures import signing_key
from deliverers.urls import checked_url
from tests.fuzz.target import Target, refusing, text_of


def quantities(raw: bytes) -> None:
    """A quantity is read as a number that is finite and not negative, or refused."""
    text = text_of(raw)
    for read in (units.seconds, units.byte_size, units.count, units.fraction, units.share_or_none):
        with refusing(ValueError):
            found = read(text)
            assert isfinite(found)
            assert found >= 0


def lists(raw: bytes) -> None:
    """A list of quantities is read or refused."""
    text = text_of(raw)
    for read in (units.durations, units.port_ranges, units.networks):
        with refusing(ValueError):
            assert isinstance(read(text), tuple)


def keys(raw: bytes) -> None:
    """A key is read or refused."""
    text = text_of(raw)
    with refusing(ValueError):
        assert observable_key(text).levels
    with refusing(ValueError):
        assert signing_key(text)


def urls(raw: bytes) -> None:
    """A URL that is taken is taken again, names a host and has no control character; a refusal does not repeat it."""
    text = text_of(raw)
    try:
        url = checked_url(text, ("https", "http"))
    except ValueError as error:
        assert len(text) < 30 or text not in str(error)
        return
    assert url.host
    assert url.raw_host
    assert checked_url(text, ("https", "http")) == url
    assert not any(character <= " " for character in text)


_NUMBERS = (
    *(b"0", b"1", b"10", b"1_000", b"0.85", b"85%", b"1e999", b"nan", b"inf", b"-1", b"9" * 400, b" ", b"_", b"."),
    *("٣".encode(), "²".encode(), b"s", b"ms", b"KiB", b"d", b"\n", b"\0", b"\xff", b"%"),
)
_LISTS = (b",", b" ", b"-", b"/", b"443", b"8000-8999", b"10.0.0.0/8", b"fd00::/8", b"5s", b"/33", b"99999", *_NUMBERS)
_KEYS = (
    b"order",
    b".",
    b"paid",
    b":",
    b"store",
    b"+",
    b"organization",
    b"-",
    b"_",
    b"whsec_",
    b"MDEy",
    b"=",
    b"\xff",
    b"a.a",
)
_URLS = (
    *(
        b"https://",
        b"HTTP://",
        b"a.example",
        b":",
        b"80",
        b":99999",
        b"[::1]",
        b"[",
        b"]",
        b"@",
        b"%",
        b"%00",
        b"0x7f.1",
    ),
    *(
        b"?",
        b"#",
        b"/",
        b"\\",
        b" ",
        "é".encode(),
        "。".encode(),
        b"xn--",
        b"..",
        b"a" * 64,
        b"2130706433",
        "１".encode(),
    ),
    *("\u200d".encode(), b"\xff", b"\0", b"%25", b"fe80::1%25eth0", "ß".encode(), b"0177.0.0.1", b":0", b"-"),
)

TARGETS = (
    Target("quantities", quantities, _NUMBERS, (b"10s", b"64KiB", b"1_000_000", b"85%")),
    Target("lists", lists, _LISTS, (b"5s 30s 2m", b"443 8000-8999", b"10.0.0.0/8, fd00::/8")),
    Target("keys", keys, _KEYS, (b"warranty.registered:store+organization", b"whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz")),
    Target("urls", urls, _URLS, (b"https://shop.example:8443/hook?token=1", b"http://[2001:db8::1]/")),
)
