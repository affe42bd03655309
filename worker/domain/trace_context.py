"""W3C Trace Context (https://www.w3.org/TR/trace-context/): the trace to which an event or attempt belongs.

It does not depend on OpenTelemetry: a process that does not trace passes the context on unchanged. A malformed context
is ignored, as the specification requires (section 2.2.2), and is never an error.
"""

import re
from dataclasses import dataclass
from typing import Final

TRACEPARENT: Final = "traceparent"
TRACESTATE: Final = "tracestate"
#: Characters that every system should propagate at least (3.3.1.5), and the most members that a tracestate may have.
#: A tracestate over either limit is left out.
TRACESTATE_MAX_CHARS = 512
TRACESTATE_MAX_MEMBERS = 32

_FLAGS_OF_VERSION_0 = 0x03
_PARENT = re.compile(
    r"(?P<version>[0-9a-f]{2})-(?P<trace>[0-9a-f]{32})-(?P<span>[0-9a-f]{16})-(?P<flags>[0-9a-f]{2})(?P<more>-.*)?"
)
_NOTHING = re.compile(r"0+")
_MEMBER = re.compile(r"[a-z0-9][a-z0-9_*/@-]{0,255}=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]")


@dataclass(frozen=True, slots=True)
class TraceContext:
    """A trace and its parent span; `tracestate` is empty if there is none."""

    traceparent: str
    tracestate: str = ""

    @classmethod
    def of(cls, traceparent: object, tracestate: object = None) -> "TraceContext | None":
        """Return the context in two received values of any type; None if they are not a trace context."""
        found = _PARENT.fullmatch(traceparent) if isinstance(traceparent, str) else None
        if found is None or _NOTHING.fullmatch(found["trace"]) or _NOTHING.fullmatch(found["span"]):
            return None
        if found["version"] != "00":
            if found["version"] == "ff":
                return None
            # From a later version, only the parts that this version defines (4.3).
            flags = int(found["flags"], 16) & _FLAGS_OF_VERSION_0
            return cls(f"00-{found['trace']}-{found['span']}-{flags:02x}", _state(tracestate))
        return None if found["more"] else cls(found[0], _state(tracestate))

    @classmethod
    def of_written(cls, text: str) -> "TraceContext | None":
        """Return the context from a text that `written` made; None for an empty text."""
        parent, _, state = text.partition(" ")
        return cls(parent, state) if parent else None

    @property
    def written(self) -> str:
        """The context as one string."""
        return f"{self.traceparent} {self.tracestate}" if self.tracestate else self.traceparent

    @property
    def trace_id(self) -> str:
        """The trace's id: 32 hexadecimal digits."""
        return self.traceparent[3:35]

    @property
    def span_id(self) -> str:
        """The parent span's id: 16 hexadecimal digits."""
        return self.traceparent[36:52]

    @property
    def headers(self) -> dict[str, str]:
        """The context as headers of a request or message."""
        parent = {TRACEPARENT: self.traceparent}
        return {**parent, TRACESTATE: self.tracestate} if self.tracestate else parent


def _state(given: object) -> str:
    """Return a valid list of members (3.3.1), without blanks and empty members; else an empty text."""
    if not isinstance(given, str) or len(given) > TRACESTATE_MAX_CHARS:
        return ""
    members = [found for each in given.split(",") if (found := each.strip(" \t"))]
    sound = len(members) <= TRACESTATE_MAX_MEMBERS and all(map(_MEMBER.fullmatch, members))
    return ",".join(members) if sound else ""
