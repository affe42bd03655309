"""Clients of AWS: one for an endpoint, a region and a pair of keys, made on first use and closed when idle.

Importing botocore takes a tenth of a second, and reading its model of SQS as long again. The first client does both in
a thread; a worker without an SQS integration never does.
"""

from __future__ import annotations

import asyncio
import os
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Protocol

from deliverers.aws_sqs.sqs_configuration import SqsAccess

#: Clients that are kept; beyond that, the least recently used one is closed. Each takes about 0.1 MiB.
MOST_CLIENTS = 1_000
#: Seconds without use after which a client is closed.
IDLE_SECONDS = 300.0
#: Seconds between two looks for idle clients.
SWEEP_SECONDS = 60.0


class UnusableAccess(ValueError):
    """An endpoint or region for which botocore makes no client; the text is botocore's."""


class Client(Protocol):
    """The part of aiobotocore's client that is used here."""

    async def send_message_batch(self, *, QueueUrl: str, Entries: list[dict[str, Any]]) -> Any: ...  # noqa: N803
    async def close(self) -> None: ...


#: A function that makes a client. Raises `UnusableAccess`.
Maker = Callable[[SqsAccess], Awaitable[Client]]


@dataclass(slots=True)
class _Held:
    client: Client | None = None
    opening: asyncio.Lock = field(default_factory=asyncio.Lock)
    users: int = 0
    used: float = 0.0


class Clients:
    """The clients of a process. None is closed while it is in use."""

    def __init__(
        self,
        make: Maker,
        most: int = MOST_CLIENTS,
        idle: float = IDLE_SECONDS,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._make = make
        self._most = most
        self._idle = idle
        self._clock = clock
        # Least recently used first.
        self._held: OrderedDict[SqsAccess, _Held] = OrderedDict()

    def __len__(self) -> int:
        return len(self._held)

    @asynccontextmanager
    async def of(self, access: SqsAccess) -> AsyncIterator[Client]:
        """Lend the client for an access; it is made on first use. Raises `UnusableAccess`."""
        held = self._held.setdefault(access, _Held())
        self._held.move_to_end(access)
        held.users += 1
        try:
            yield held.client or await self._opened(access, held)
        finally:
            held.users -= 1
            held.used = self._clock()
            if held.client is None and not held.users:
                self._held.pop(access, None)
            if len(self._held) > self._most:
                await self._close_first_unused()

    async def sweep_for_ever(self) -> None:
        """Close idle clients until cancelled."""
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            await self.close_idle()

    async def close_idle(self) -> None:
        """Close the clients that have been idle for long enough."""
        limit = self._clock() - self._idle
        for access in [access for access, held in self._held.items() if not held.users and held.used <= limit]:
            await self._close(access)

    async def close(self) -> None:
        """Close all clients."""
        for access in tuple(self._held):
            await self._close(access)

    async def _opened(self, access: SqsAccess, held: _Held) -> Client:
        async with held.opening:
            client = held.client  # another user may have been first
            if client is None:
                client = held.client = await self._make(access)
            return client

    async def _close_first_unused(self) -> None:
        access = next((access for access, held in self._held.items() if not held.users), None)
        if access is not None:
            await self._close(access)

    async def _close(self, access: SqsAccess) -> None:
        held = self._held.pop(access, None)
        if held is not None and held.client is not None:
            await held.client.close()


class BotocoreMaker:
    """A maker of aiobotocore clients that send by `session_class` (see `transport`)."""

    def __init__(self, session_class: type, user_agent: str) -> None:
        self._session_class = session_class
        self._user_agent = user_agent
        self._loading: asyncio.Future[tuple[Any, Any]] | None = None

    async def __call__(self, access: SqsAccess) -> Client:
        session, config = await self._load()
        try:
            context = session.create_client(
                "sqs",
                region_name=access.region,
                endpoint_url=access.endpoint,
                aws_access_key_id=access.access_key_id,
                aws_secret_access_key=access.secret_access_key,
                aws_session_token=access.session_token or None,
                config=config,
            )
            client: Client = await context.__aenter__()
        except ValueError as error:  # botocore's InvalidRegionError is one too
            raise UnusableAccess(str(error)) from None
        return client

    async def _load(self) -> tuple[Any, Any]:
        if self._loading is None:
            self._loading = asyncio.get_running_loop().run_in_executor(None, self._load_now)
        try:
            # Shielded: a caller whose deadline passes leaves the loading to the next one.
            return await asyncio.shield(self._loading)
        except Exception:  # it may pass, for example if files of a model could not be opened
            self._loading = None
            raise

    def _load_now(self) -> tuple[Any, Any]:
        return loaded_session("sqs", self._session_class, self._user_agent)


def loaded_session(
    service: str, session_class: type, user_agent: str, *, from_environment: bool = False
) -> tuple[Any, Any]:
    """Return a session of aiobotocore with a service's model, and the configuration of its clients. It reads files.

    Without `from_environment` it has defaults only: no profile, region, endpoint, proxy or models of the environment.
    """
    from aiobotocore.config import AioConfig
    from aiobotocore.session import AioSession
    from botocore.configprovider import ConfigValueStore, ConstantProvider

    session = AioSession()
    if not from_environment:
        values = {name: ConstantProvider(default) for name, (_, _, default, _) in session.SESSION_VARIABLES.items()}
        values["config_file"] = values["credentials_file"] = ConstantProvider(os.devnull)
        session.register_component("config_store", ConfigValueStore(mapping=values))
    session.warm_up_loader_caches(service)
    config = AioConfig(
        http_session_cls=session_class,
        signature_version="v4",
        user_agent=user_agent,
        # Retries belong to the ledger.
        retries={"total_max_attempts": 1, "mode": "standard"},
        defaults_mode="legacy",
        # What is sent was checked before, or is for AWS to judge.
        parameter_validation=False,
        disable_request_compression=True,
    )
    return session, config
