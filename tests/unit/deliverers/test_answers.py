from __future__ import annotations

import gzip
import zlib

import pytest

from deliverers.answers import decompressed, kept_text, printable

TEXT = b"thank you " * 500


@pytest.mark.parametrize(
    ("coding", "raw"),
    [
        ("gzip", gzip.compress(TEXT, mtime=0)),
        (" X-GZIP ", gzip.compress(TEXT, mtime=0)),
        ("deflate", zlib.compress(TEXT)),
        ("deflate", zlib.compress(TEXT)[2:-4]),
        ("identity", TEXT),
    ],
)
def test_a_content_coding_is_undone_as_far_as_the_limit(coding: str, raw: bytes) -> None:
    assert decompressed(raw, coding, 10_000) == TEXT
    if coding != "identity":
        assert decompressed(raw, coding, 100) == TEXT[:100]


@pytest.mark.parametrize(("coding", "raw"), [("br", b"12345"), ("gzip", b"12345"), ("gzip, gzip", b"12345")])
def test_what_cannot_be_decoded_is_noted(coding: str, raw: bytes) -> None:
    assert decompressed(raw, coding, 100) == b"[5 bytes that cannot be decoded]"


def test_what_precedes_a_broken_place_is_kept() -> None:
    assert TEXT.startswith(decompressed(gzip.compress(TEXT)[:40], "gzip", 10_000))


def test_a_text_is_cut_between_characters() -> None:
    assert kept_text("aé".encode() * 10, 5) == "aéa"


def test_a_secret_is_hidden_before_the_text_is_cut() -> None:
    assert kept_text(b"abc s3cr3t def", 7, (b"s3cr3t",)) == "abc ***"


def test_a_line_of_a_log_stays_one_line() -> None:
    assert printable("a\r\nb\x1b" + "x" * 200, 10) == "a??b?xxxxx…"
