"""One `edw dev` for each process of tests, with a Redis, an emulator of SQS and a web site beside it."""

from collections.abc import Iterator

import pytest

from tests.clients.client_site import ClientSite, client_site
from tests.clients.dev import Dev, edw_dev
from tests.counterparts.ministack import Ministack
from tests.counterparts.ports import free_port
from tests.counterparts.redis_server import RedisServer
from tests.counterparts.server import started


@pytest.fixture(scope="session")
def site() -> Iterator[ClientSite]:
    """A page with the platform's SDK, and a receiver of webhooks."""
    with client_site(free_port()) as served:
        yield served


@pytest.fixture(scope="session")
def ministack() -> Iterator[Ministack]:
    yield from started(Ministack)


@pytest.fixture(scope="session")
def dev(ministack: Ministack, site: ClientSite, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dev]:
    """`edw dev`, which the site's page may call."""
    with (
        RedisServer() as redis,
        edw_dev(
            redis.tcp_url,
            tmp_path_factory.mktemp("dev"),
            EDW_SQS_ENDPOINT=ministack.url,
            EDW_API_CORS_ORIGINS=f"http://127.0.0.1:{site.port}",
            # On a slow machine too, an event has one attempt.
            EDW_WEBHOOK_TIMEOUT="100s",
        ) as running,
    ):
        yield running
