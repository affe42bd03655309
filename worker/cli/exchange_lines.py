"""What an attempt sent and got, for people: its lines, and a curl command that repeats the request."""

from collections.abc import Iterator
from shlex import quote

from deliverers.exchange import MASKED, SentRequest, WireRecord
from worker.domain.humanize import duration

#: Headers that curl sets itself, in lower case.
_OF_CURL = frozenset({"host", "content-length", "accept-encoding"})
#: The file with the body that the curl command sends.
BODY_FILE = "body.json"


def exchange_lines(record: WireRecord) -> Iterator[str]:
    """Yield the lines of a record: the times, the request, the answer, and the curl command."""
    if words := _times(record):
        yield f"times: {words}"
    if record.request is not None:
        yield ""
        yield from _request(record.request)
    if record.answer is not None:
        yield ""
        yield record.answer.status_line
        yield from (f"{name}: {value}" for name, value in record.answer.headers)
    if record.request is not None and record.request.url.startswith(("http://", "https://")):
        yield ""
        yield curl_line(record.request)


def curl_line(request: SentRequest) -> str:
    """Return a curl command that repeats the request, on one line. Masked values are variables of the shell."""
    path, query, _ = request.url.partition(f"?{MASKED}")
    words = ["curl", "-X", quote(request.method), f'{quote(path)}"?$QUERY"' if query else quote(path)]
    for name, value in request.headers:
        if name.lower() in _OF_CURL or not name.isascii():
            continue
        if value == MASKED:
            words += ["-H", f'"{name}: ${variable_of(name)}"']
        else:
            words += ["-H", quote(f"{name}: {value}")]
    return " ".join([*words, "--data-binary", f"@{BODY_FILE}"])


def variable_of(header: str) -> str:
    """Return the shell variable for a header's masked value: `X_MOLTIN_SECRET_KEY`."""
    return "".join(character if character.isalnum() else "_" for character in header.upper())


def _request(request: SentRequest) -> Iterator[str]:
    yield f"{request.method} {request.url}" + (f" ({request.peer})" if request.peer else "")
    yield from (f"{name}: {value}" for name, value in request.headers)
    yield f"({request.body_bytes:,} bytes of body)"


def _times(record: WireRecord) -> str:
    times = record.times
    phases = {"DNS": times.dns, "connect": times.connect, "TLS": times.tls, "first byte": times.first_byte}
    return ", ".join(f"{name} {_milliseconds(each)}" for name, each in phases.items() if each is not None)


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms" if seconds < 1 else duration(seconds * 1000)
