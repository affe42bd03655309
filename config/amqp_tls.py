"""TLS options for connections to RabbitMQ (`amqps://`).

kombu verifies a server's certificate, but checks the server's name only if the options contain that name. It also
passes `ssl_ca_certs` of a URL on under a name that py-amqp does not know. This module closes both gaps: the name is
checked, and an `amqps://` URL takes the same parameters as redis-py's URLs.
"""

import ssl
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

#: Parameter of a URL → py-amqp's option.
_WORDS = {"ssl_ca_certs": "ca_certs", "ssl_certfile": "certfile", "ssl_keyfile": "keyfile"}
_CERT_REQS = "ssl_cert_reqs"


def amqp_tls(broker_url: str) -> tuple[str, dict[str, Any] | None]:
    """Split a broker's URL into the URL without TLS parameters and kombu's `ssl` options.

    The options are None where the URL does not ask for TLS. If the URL names several brokers (`amqps://a;amqps://b`),
    the parameters and the host name of the first apply to all: each certificate must contain that name.
    """
    first, *others = broker_url.split(";")
    parts = urlsplit(first)
    if parts.scheme != "amqps":
        return broker_url, None
    given = dict(parse_qsl(parts.query))
    # Explicit, because kombu would fill in the host that it dials, and it dials 127.0.0.1 for localhost.
    tls: dict[str, Any] = {"server_hostname": parts.hostname or "localhost"}
    if given.get(_CERT_REQS) == "none":
        tls = {"cert_reqs": ssl.CERT_NONE}
    tls |= {name: given[word] for word, name in _WORDS.items() if word in given}
    rest = {word: value for word, value in given.items() if word not in {*_WORDS, _CERT_REQS}}
    return ";".join((parts._replace(query=urlencode(rest)).geturl(), *others)), tls
