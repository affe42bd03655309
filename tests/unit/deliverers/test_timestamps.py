"""Times as every SDK reads them."""

import re
from datetime import datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deliverers.timestamps import canonical_time

#: What Go's RFC3339Nano and Java's ISO_OFFSET_DATE_TIME take.
STRICT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:[0-5]\d(\.\d+)?(Z|[+-]\d\d:\d\d)")


@pytest.mark.parametrize(
    ("time", "sent"),
    [
        ("2026-11-23T20:41:00Z", "2026-11-23T20:41:00Z"),
        ("2026-11-23T20:41:00.120000+02:00", "2026-11-23T20:41:00.120000+02:00"),
        ("2026-11-23T20:41:00+0000", "2026-11-23T20:41:00+00:00"),
        ("2026-11-23T20:41:00.5-0330", "2026-11-23T20:41:00.5-03:30"),
        ("2026-11-23 20:41:00Z", "2026-11-23T20:41:00Z"),
        ("2026-11-23t20:41:00z", "2026-11-23T20:41:00Z"),
        ("2016-12-31T23:59:60Z", "2016-12-31T23:59:59Z"),
        ("2016-12-31T23:59:60.25+00:00", "2016-12-31T23:59:59.25+00:00"),
        ("of an older release", "of an older release"),
    ],
)
def test_a_time_goes_out_in_one_form(time: str, sent: str) -> None:
    assert canonical_time(time) == sent


@given(
    st.datetimes(),
    st.sampled_from("Tt "),
    st.sampled_from(["", ".1", ".123456", ".123456789"]),
    st.sampled_from(["Z", "z", "+00:00", "-0000", "+0530", "-23:59", "+05"]),
)
def test_every_accepted_spelling_becomes_strict_and_means_the_same(
    moment: datetime, between: str, fraction: str, offset: str
) -> None:
    time = moment.strftime(f"%Y-%m-%d{between}%H:%M:%S").rjust(19, "0") + fraction + offset
    try:
        meant = msgspec.convert(time, datetime)
    except msgspec.ValidationError:
        return
    sent = canonical_time(time)
    assert STRICT.fullmatch(sent)
    assert msgspec.convert(sent, datetime) == meant
