import ssl
from typing import Any

import pytest

from config.amqp_tls import amqp_tls


@pytest.mark.parametrize(
    ("url", "plain", "tls"),
    [
        ("amqp://h//", "amqp://h//", None),
        ("redis://h?ssl_cert_reqs=none", "redis://h?ssl_cert_reqs=none", None),
        ("amqps://u:p@h:5671//", "amqps://u:p@h:5671//", {"server_hostname": "h"}),
        (
            "amqps://h/v?ssl_ca_certs=/ca.pem&ssl_certfile=/c.pem&ssl_keyfile=/k.pem&heartbeat=10",
            "amqps://h/v?heartbeat=10",
            {"server_hostname": "h", "ca_certs": "/ca.pem", "certfile": "/c.pem", "keyfile": "/k.pem"},
        ),
        ("amqps://h?ssl_cert_reqs=none", "amqps://h", {"cert_reqs": ssl.CERT_NONE}),
        ("amqps://a?ssl_ca_certs=/ca;amqps://b", "amqps://a;amqps://b", {"server_hostname": "a", "ca_certs": "/ca"}),
    ],
)
def test_what_a_url_says_of_tls_is_put_into_amqps_words(url: str, plain: str, tls: dict[str, Any] | None) -> None:
    assert amqp_tls(url) == (plain, tls)
