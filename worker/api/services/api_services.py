"""The services of the API's handlers; `worker.api.server` wires them."""

import asyncio
from dataclasses import dataclass

from config.settings import Settings
from deliverers.registry import DelivererRegistry
from worker.api.services.access import Access
from worker.api.services.api_health import ApiHealth
from worker.api.services.event_intake import EventIntake
from worker.delivery.sample_delivery import SampleDelivery
from worker.domain.event_parser import EventRules
from worker.intake.loop_wakeups import LoopWakeups
from worker.intake.wakeups import Wakeups
from worker.integrations.integration_service import IntegrationService
from worker.integrations.redelivery import RedeliveryService
from worker.ledger import Ledger
from worker.telemetry.tracing.traces import Traces


@dataclass(frozen=True, slots=True)
class ApiServices:
    """Everything that a handler may use."""

    settings: Settings
    ledger: Ledger
    integration_service: IntegrationService
    rules: EventRules
    intake: EventIntake
    redelivery_service: RedeliveryService
    sample_delivery: SampleDelivery
    access: Access
    types: DelivererRegistry
    health: ApiHealth
    wakeups: Wakeups | LoopWakeups
    #: None if the process does not trace.
    traces: Traces | None
    #: Checks the ledger as soon as it answers; raises LedgerFormatError if it belongs to another version.
    opening: "asyncio.Task[bool]"
