"""What of W3C Trace Context is taken, and how it goes on."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.observable_events import load_catalogue
from worker.domain.cloudevents import attributes_of_headers, event_of_binary, event_of_structured
from worker.domain.event import Event
from worker.domain.event_parser import EventRules, parse_event
from worker.domain.trace_context import TRACESTATE_MAX_CHARS, TraceContext

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = f"00-{TRACE}-{SPAN}-01"
RULES = EventRules(load_catalogue())


def test_a_context_is_taken_and_handed_on_as_it_came() -> None:
    context = TraceContext.of(PARENT, "congo=t61rcWkgMzE,rojo@vendor=00f0")
    assert context is not None
    assert context.headers == {"traceparent": PARENT, "tracestate": "congo=t61rcWkgMzE,rojo@vendor=00f0"}
    assert (context.trace_id, context.span_id) == (TRACE, SPAN)
    assert TraceContext.of_written(context.written) == context
    assert TraceContext(PARENT).headers == {"traceparent": PARENT}


@pytest.mark.parametrize(
    "malformed",
    [
        None,
        7,
        "",
        PARENT.upper(),
        PARENT[:-1],
        f"{PARENT}-00",
        f"{PARENT}\n",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE[:-1]}x-{SPAN}-01",
        f"cc-{TRACE}-{SPAN}-01.what",
    ],
)
def test_what_is_malformed_is_nobodys(malformed: object) -> None:
    assert TraceContext.of(malformed, "a=b") is None


def test_of_a_later_version_what_is_known_is_taken() -> None:
    assert TraceContext.of(f"cc-{TRACE}-{SPAN}-ff-what-the-future-will-be-like") == TraceContext(
        f"00-{TRACE}-{SPAN}-03"
    )


@pytest.mark.parametrize(
    "state",
    [
        "no member",
        "UPPER=1",
        "a=b\r\nX-Injected: 1",
        "a=é",
        ",".join(f"k{n}=v" for n in range(33)),
        "a=" + "x" * TRACESTATE_MAX_CHARS,
        ["a=b"],
    ],
)
def test_a_state_that_is_malformed_or_too_long_is_left_out_and_the_parent_kept(state: object) -> None:
    assert TraceContext.of(PARENT, state) == TraceContext(PARENT)


def test_a_states_empty_members_and_blanks_are_left_out() -> None:
    assert TraceContext.of(PARENT, " a=b ,, \tc=d ") == TraceContext(PARENT, "a=b,c=d")


@given(st.text(), st.text())
def test_whatever_comes_nothing_is_raised_and_what_goes_on_is_a_header(parent: str, state: str) -> None:
    context = TraceContext.of(parent, state) or TraceContext.of(PARENT, state)
    assert context is not None
    assert all(value.isascii() and value.isprintable() for value in context.headers.values())


@pytest.mark.parametrize(
    ("members", "found"),
    [
        (f'"traceparent":"{PARENT}","tracestate":"a=b"', TraceContext(PARENT, "a=b")),
        (f'"traceparent":"{PARENT}"', TraceContext(PARENT)),
        (f'"traceparent":"{PARENT}","tracestate":5', TraceContext(PARENT)),
        ('"traceparent":{"not":"one"},"tracestate":null', None),
        ('"traceparent":null', None),
    ],
)
def test_an_event_says_its_trace_itself_and_a_malformed_one_refuses_no_event(
    members: str, found: TraceContext | None
) -> None:
    plain = f'{{"type":"order.paid","data":{{}},{members}}}'.encode()
    cloudevent = f'{{"specversion":"1.0","id":"e-1","source":"/s","type":"order.paid","data":{{}},{members}}}'.encode()
    ours = event_of_structured(cloudevent)
    assert isinstance(ours, bytes)
    for event in (parse_event(plain, RULES), parse_event(ours, RULES)):
        assert isinstance(event, Event), event
        assert event.trace == found


@pytest.mark.parametrize(("value", "found"), [(PARENT, TraceContext(PARENT)), ("é", None), ("", None)])
def test_a_cloudevent_in_binary_mode_says_it_by_its_header(value: str, found: TraceContext | None) -> None:
    named = {"specversion": "1.0", "id": "e-1", "source": "/s", "type": "order.paid", "traceparent": value}
    attributes = attributes_of_headers((f"ce-{name}", text) for name, text in named.items())
    assert isinstance(attributes, dict)
    ours = event_of_binary(attributes, b"{}")
    assert isinstance(ours, bytes)
    event = parse_event(ours, RULES)
    assert isinstance(event, Event)
    assert event.trace == found
