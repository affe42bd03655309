"""W3C Trace Context (https://www.w3.org/TR/trace-context/): which trace something belongs to, as it travels.

A value, which knows nothing of OpenTelemetry: a process that does not trace hands on what it was given. What is
malformed is ignored, as the specification wants it (section 2.2.2), and never an error.
"""

import re
from dataclasses import dataclass
from typing import Final

TRACEPARENT: Final = "traceparent"
TRACESTATE: Final = "tracestate"
#: What everybody hands on at least (3.3.1.5), and how many members there may be; a longer one is left out.
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
    """A trace, and the span of it from which something comes; `tracestate` is empty where there is none."""

    traceparent: str
    tracestate: str = ""

    @classmethod
    def of(cls, traceparent: object, tracestate: object = None) -> "TraceContext | None":
        """The context of what came, whatever it is; None where that is none."""
        found = _PARENT.fullmatch(traceparent) if isinstance(traceparent, str) else None
        if found is None or _NOTHING.fullmatch(found["trace"]) or _NOTHING.fullmatch(found["span"]):
            return None
        if found["version"] != "00":
            if found["version"] == "ff":
                return None
            # Of a later version what is known here, and no more (4.3).
            flags = int(found["flags"], 16) & _FLAGS_OF_VERSION_0
            return cls(f"00-{found['trace']}-{found['span']}-{flags:02x}", _state(tracestate))
        return None if found["more"] else cls(found[0], _state(tracestate))

    @classmethod
    def of_written(cls, text: str) -> "TraceContext | None":
        """What `written` made; None of an empty text."""
        parent, _, state = text.partition(" ")
        return cls(parent, state) if parent else None

    @property
    def written(self) -> str:
        """The context in one string."""
        return f"{self.traceparent} {self.tracestate}" if self.tracestate else self.traceparent

    @property
    def trace_id(self) -> str:
        """32 hexadecimal digits."""
        return self.traceparent[3:35]

    @property
    def span_id(self) -> str:
        """16 hexadecimal digits."""
        return self.traceparent[36:52]

    @property
    def headers(self) -> dict[str, str]:
        """The context as it travels beside something."""
        parent = {TRACEPARENT: self.traceparent}
        return {**parent, TRACESTATE: self.tracestate} if self.tracestate else parent


def _state(given: object) -> str:
    """A sound list of members (3.3.1), without blanks and what is empty; else nothing."""
    if not isinstance(given, str) or len(given) > TRACESTATE_MAX_CHARS:
        return ""
    members = [found for each in given.split(",") if (found := each.strip(" \t"))]
    sound = len(members) <= TRACESTATE_MAX_MEMBERS and all(map(_MEMBER.fullmatch, members))
    return ",".join(members) if sound else ""
