"""Stores whose receivers answer with floods: webhooks, SQS endpoints and STOMP brokers."""

from collections.abc import Iterator, Mapping
from typing import Any
from uuid import uuid4

from cryptography.fernet import Fernet
from pydantic import SecretStr

from deliverers.registry import DelivererRegistry
from tests.benchmarks.attacks.hostile_broker import STOMP_FLOODS
from tests.benchmarks.attacks.hostile_receiver import FLOODS
from tests.benchmarks.attacks.target import HOST, Flooded, Hostile
from tests.benchmarks.installation import Installation
from tests.benchmarks.order import OBSERVABLE_KEY
from worker.domain.api_token import Role
from worker.domain.event import Scope
from worker.domain.integration import Integration
from worker.domain.sealing import sealed
from worker.domain.secrets_box import SecretsBox

#: The key of the run, for `EDW_SECRETS_KEYS`: an SQS integration has a secret.
SECRETS_KEY = Fernet.generate_key().decode()

Configuration = Mapping[str, Any]


def flooded_stores(ours: Installation, hostile: Hostile) -> dict[str, Flooded]:
    """Register the stores; return them by the name of their flood."""
    return {name: _store(ours, name, found) for name, found in _stores(hostile).items()}


def _stores(hostile: Hostile) -> Mapping[str, tuple[tuple[str, Configuration], ...]]:
    """Return what each store has: integration types and configurations."""
    webhooks = {name: ("webhook", {"url": f"http://{HOST}:{hostile.receiver}/{name}"}) for name in FLOODS}
    queues = tuple(("aws_sqs", dict(_queue(hostile, name))) for name in FLOODS)
    brokers = {name: ("stomp", dict(_broker(hostile, name))) for name in STOMP_FLOODS}
    return {
        **{name: (webhook,) for name, webhook in webhooks.items()},
        "all": tuple(webhooks.values()),
        "SQS": queues,
        **{f"STOMP, {name}": (broker,) for name, broker in brokers.items()},
        "STOMP": tuple(brokers.values()),
    }


def _queue(hostile: Hostile, name: str) -> Iterator[tuple[str, str]]:
    # What stands before account and queue is the path of the endpoint.
    yield "url", f"http://{HOST}:{hostile.receiver}/{name}/1/orders"
    yield "aws_access_key_id", "AKIAFLOODS"
    yield "aws_secret_access_key", "flood"
    yield "region", "eu-west-1"


def _broker(hostile: Hostile, name: str) -> Iterator[tuple[str, Any]]:
    yield "username", name
    yield "destination", "/queue/orders"
    yield "addresses", [f"stomp://{HOST}:{hostile.broker}"]


def _store(ours: Installation, name: str, receivers: tuple[tuple[str, Configuration], ...]) -> Flooded:
    scope = Scope(None, f"floods-{name}")
    box, registry = SecretsBox([SecretStr(SECRETS_KEY)]), DelivererRegistry.load()
    found = []
    for number, (kind, configuration) in enumerate(receivers):
        made = Integration(str(uuid4()), scope, f"flood {number}", kind, (OBSERVABLE_KEY,), configuration)
        found.append(ours.put(sealed(made, registry, box)).id)
    return Flooded(scope.store_id or "", tuple(found), ours.token(scope, Role.PUBLISH), ours.token(scope, Role.ADMIN))
