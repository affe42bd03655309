"""TLS to RabbitMQ (`amqps://`): the server's name is checked too, and a URL has the words that redis-py's have.

kombu checks a server's certificate but not whose it is, unless it is told the name; and it hands on `ssl_ca_certs` of
a URL under a name that py-amqp does not know.
"""

import ssl
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

#: What a URL may say, and what py-amqp calls it.
_WORDS = {"ssl_ca_certs": "ca_certs", "ssl_certfile": "certfile", "ssl_keyfile": "keyfile"}
_CERT_REQS = "ssl_cert_reqs"


def amqp_tls(broker_url: str) -> tuple[str, dict[str, Any] | None]:
    """A broker's URL without what it says of TLS, and kombu's `ssl` for it; None where there is no TLS.

    Of several brokers (`amqps://a;amqps://b`), what the first one says counts for all, and so does its name: their
    certificates must have it.
    """
    first, *others = broker_url.split(";")
    parts = urlsplit(first)
    if parts.scheme != "amqps":
        return broker_url, None
    given = dict(parse_qsl(parts.query))
    # Written out: kombu would fill in the host that it dials, and dials 127.0.0.1 for localhost.
    tls: dict[str, Any] = {"server_hostname": parts.hostname or "localhost"}
    if given.get(_CERT_REQS) == "none":
        tls = {"cert_reqs": ssl.CERT_NONE}
    tls |= {name: given[word] for word, name in _WORDS.items() if word in given}
    rest = {word: value for word, value in given.items() if word not in {*_WORDS, _CERT_REQS}}
    return ";".join((parts._replace(query=urlencode(rest)).geturl(), *others)), tls
