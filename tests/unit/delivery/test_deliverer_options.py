"""What is set for deliverers reaches them."""

from dataclasses import fields

from config.settings import load_settings
from deliverers.contract import DelivererOptions
from worker.delivery.deliverer_options import deliverer_options

CHANGED = {
    "webhook_timeout": "3s",
    "aws_credentials": "chain",
    "sts_endpoint": "http://127.0.0.1:4566",
    "webhook_timeout_max": "20s",
    "webhook_read_limit": "1KiB",
    "log_body_limit": "2KiB",
    "log_exchange": "all",
    "egress_allow": "10.0.0.0/8",
    "egress_ports": "443",
    "egress_schemes": "https",
    "tls_ca_file": __file__,
    "egress_proxy": "http://user:word@proxy:3128",
    "sqs_endpoint": "http://127.0.0.1:4566",
    "sqs_limit": "512KiB",
    "stomp_messages": "bytes",
    "webhook_secret_in_body": "true",
}


def test_every_option_of_a_deliverer_is_a_setting() -> None:
    usual, changed = deliverer_options(load_settings()), deliverer_options(load_settings(**CHANGED))
    assert usual == DelivererOptions()
    # `dialled` is what counts in this process, and no option of anybody's.
    for field in (each for each in fields(DelivererOptions) if each.compare):
        assert getattr(usual, field.name) != getattr(changed, field.name), field.name


def test_a_proxys_password_is_in_no_repr() -> None:
    assert "word" not in repr(deliverer_options(load_settings(**CHANGED)))
