"""The services that the pages use. The API's process has them all; it wires them."""

from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Protocol

from aiohttp import web

from config.settings import Settings
from deliverers.registry import DelivererRegistry
from worker.delivery.sample_delivery import SampleDelivery
from worker.domain.api_token import Token, TokenKind
from worker.domain.event import Event
from worker.domain.event_parser import EventRules
from worker.integrations.integration_service import IntegrationService
from worker.integrations.redelivery import RedeliveryService
from worker.ledger import Acceptance, Ledger


class Entrance(Protocol):
    """Checks tokens that people enter, and limits bad attempts."""

    async def entered(self, request: web.Request, text: str, kinds: Collection[TokenKind]) -> Token | float: ...
    def note_use(self, token: Token) -> None: ...


class Intake(Protocol):
    """Accepts events."""

    async def accept(self, events: Sequence[Event]) -> Sequence[Acceptance]: ...


class LaneWakeups(Protocol):
    """Wakes workers."""

    def lanes(self, ids: Sequence[str]) -> None: ...


class ConsoleServices(Protocol):
    """Everything that a page may use."""

    @property
    def settings(self) -> Settings: ...
    @property
    def ledger(self) -> Ledger: ...
    @property
    def integration_service(self) -> IntegrationService: ...
    @property
    def redelivery_service(self) -> RedeliveryService: ...
    @property
    def sample_delivery(self) -> SampleDelivery: ...
    @property
    def types(self) -> DelivererRegistry: ...
    @property
    def rules(self) -> EventRules: ...
    @property
    def wakeups(self) -> LaneWakeups: ...
    @property
    def access(self) -> Entrance: ...
    @property
    def intake(self) -> Intake: ...


class DoctorLine(Protocol):
    """One line of `edw doctor`: what was checked, what was seen, and what to do."""

    @property
    def grade(self) -> str: ...
    @property
    def subject(self) -> str: ...
    @property
    def seen(self) -> str: ...
    @property
    def advice(self) -> str: ...


#: Runs the quick checks of `edw doctor`.
Doctor = Callable[[], Awaitable[Sequence[DoctorLine]]]
