from __future__ import annotations

import pytest

from deliverers.contract import Delivery, IntegrationRef
from deliverers.webhook import WebhookConfiguration


@pytest.fixture
def delivery() -> Delivery:
    return Delivery(
        job_id="job-1",
        attempt=2,
        epoch=0,
        event_id="event-1",
        triggered_by="order.paid",
        data='{"type":"order","id":"o-1","name":"Zoë","total":10.00,"n":123456789012345678901234567890}'.encode(),
        included=b'{"items":[]}',
        store_id="store-1",
        org_id="org-1",
        time="2026-11-23T12:00:00Z",
        source=None,
        integration=IntegrationRef("int-1", "webhook", "Orders", "to the warehouse"),
        configuration=WebhookConfiguration.model_validate({"url": "https://shop.example/hook", "secret_key": "s3cr3t"}),
    )
