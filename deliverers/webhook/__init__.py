"""`webhook`: an event leaves as one HTTP POST."""

from deliverers.webhook.webhook_configuration import WebhookConfiguration
from deliverers.webhook.webhook_deliverer import WebhookDeliverer

__all__ = ["WebhookConfiguration", "WebhookDeliverer"]
