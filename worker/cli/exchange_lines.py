"""What an attempt sent and got, for people: its lines, and a curl command that repeats the request."""

from collections.abc import Iterator

from deliverers.exchange import SentRequest, WireRecord
from worker.domain.curl_command import curl_line, is_http
from worker.domain.humanize import duration


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
    if record.request is not None and is_http(record.request):
        yield ""
        yield curl_line(record.request)


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
