"""The options of deliverers, from the settings."""

from config.settings import Settings
from deliverers.contract import DelivererOptions
from deliverers.egress import EgressPolicy
from deliverers.exchange import ExchangePolicy


def deliverer_options(settings: Settings) -> DelivererOptions:
    """Return the options of all deliverers of this process."""
    return DelivererOptions(
        timeout=settings.webhook_timeout,
        longest_timeout=settings.webhook_timeout_max,
        read_limit=settings.webhook_read_limit,
        keep_limit=settings.log_body_limit,
        keep_exchange=ExchangePolicy(settings.log_exchange),
        egress=EgressPolicy(settings.egress_allow, settings.egress_ports, frozenset(settings.egress_schemes)),
        tls_ca_file=str(settings.tls_ca_file) if settings.tls_ca_file else None,
        proxy=settings.egress_proxy.get_secret_value() if settings.egress_proxy else None,
        sqs_endpoint=settings.sqs_endpoint or None,
        aws_credentials=settings.aws_credentials == "chain",
        sts_endpoint=settings.sts_endpoint or None,
        sqs_limit=settings.sqs_limit,
        stomp_text=settings.stomp_messages == "text",
        secret_in_body=settings.webhook_secret_in_body,
    )
