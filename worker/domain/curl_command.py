"""A curl command that repeats the request of an attempt. No I/O."""

from shlex import quote

from deliverers.exchange import MASKED, SentRequest

#: Headers that curl sets itself, in lower case.
_OF_CURL = frozenset({"host", "content-length", "accept-encoding"})
#: The file with the body that the curl command sends.
BODY_FILE = "body.json"


def is_http(request: SentRequest) -> bool:
    """Return whether curl can repeat a request; a message queue takes none of its requests."""
    return request.url.startswith(("http://", "https://"))


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
