"""HTTP/1.1 towards receivers: one sender for webhooks, plug-ins, proxies and SQS.

    target            a URL, split so that the receiver gets its target byte for byte
    request           a request as bytes
    response          an answer, read piece by piece: what counts, and when it is over
    http_connection   one connection: a request out, its answer in
    idle_pool         connections that may carry another request
    proxy             the deployment's proxy
    progress          how far a request has come, and the record of it
    sender            all of these, by one deadline

A plug-in needs `HttpSender.send`: see deliverers/README.md.
"""

from importlib.metadata import PackageNotFoundError, version

from deliverers.http.answer import HttpAnswer
from deliverers.http.names import resolver_of
from deliverers.http.progress import HttpProgress
from deliverers.http.request import RequestHead
from deliverers.http.sender import KEEP_ALIVE_SECONDS, HttpSender
from deliverers.http.target import HttpTarget

__all__ = [
    "KEEP_ALIVE_SECONDS",
    "USER_AGENT",
    "HttpAnswer",
    "HttpProgress",
    "HttpSender",
    "HttpTarget",
    "RequestHead",
    "resolver_of",
]


def _package_version() -> str:
    try:
        return version("event-delivery-worker")
    except PackageNotFoundError:
        return "0"


USER_AGENT = f"event-delivery-worker/{_package_version()}"
