"""What a caller learns of our inside while something is away: nothing."""

import json
import re
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.api_client import Serve, webhook
from tests.counterparts.ports import free_port
from tests.counterparts.redis_server import RedisServer
from tests.samples import order_paid

#: Addresses, sockets, Python's and redis-py's words, and our settings.
INSIDE = re.compile(rb"127\.0\.0\.1|/tmp|[Rr]edis|[a-z]Error\b|Errno|refused|EDW_|Traceback")
CALLS: tuple[tuple[str, str, Any], ...] = (
    ("GET", "/v2/integrations", None),
    ("POST", "/v2/integrations", {"data": webhook()}),
    ("GET", "/v2/integrations/logs", None),
    ("POST", "/v2/events", {"data": order_paid()}),
    ("GET", "/readyz", None),
    ("GET", "/healthz", None),
    ("POST", "/oauth/access_token", {"grant_type": "client_credentials", "client_id": "a" * 16, "client_secret": "x"}),
    ("GET", "/v2/nothing", None),
)


@pytest.mark.parametrize(("method", "path", "body"), CALLS, ids=lambda each: each if isinstance(each, str) else "")
async def test_while_the_ledger_is_away_no_answer_says_where_it_is(
    serve: Serve, redis_server: RedisServer, method: str, path: str, body: Any
) -> None:
    api = await serve()
    admin = await api.someone()
    assert (await admin.get("/v2/integrations")).status == 200
    redis_server.stop()
    with capture_logs() as logged:
        answers = [await asking.ask(method, path, body) for asking in (admin, api.client(), stranger(api))]
    for answer in answers:
        assert not INSIDE.search(answer.raw), answer.raw
        assert answer.status != 500
    if path == "/v2/integrations":
        assert answers[0].status == 503
        assert [line for line in logged if "does not answer: " in str(line.get("why"))], "our own log has the detail"
    redis_server.start()


def stranger(api: Any) -> Any:
    """Somebody whose token must be looked up first."""
    return api.client("edw_" + "0" * 16 + "_" + "A" * 43)


async def test_a_broker_that_is_away_is_not_named(serve: Serve) -> None:
    api = await serve(broker_url=secret(f"redis://user:hunter2@127.0.0.1:{free_port()}/0"))
    api.services.health._broker.open()
    with capture_logs() as logged:
        answer = await api.client().get("/readyz")
    assert "broker" in json.loads(answer.raw)["checks"]
    assert not INSIDE.search(answer.raw), answer.raw
    assert "hunter2" not in str(logged)
    await api.services.health._broker.close()


def secret(text: str) -> Any:
    from pydantic import SecretStr

    return SecretStr(text)
