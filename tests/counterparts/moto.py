"""moto's server (https://pypi.org/project/moto): a second opinion of SQS, which believes every key.

It slows as its queues grow, so it is reset for each test.
"""

from __future__ import annotations

from collections.abc import Sequence

from tests.counterparts.emulator import Emulator


class Moto(Emulator):
    """One moto server."""

    name = "moto"
    health_path = "/moto-api/data.json"
    reset_path = "/moto-api/reset"

    @classmethod
    def command(cls) -> Sequence[str]:
        return ("moto_server", "-H", "127.0.0.1", "-p", "{port}")
