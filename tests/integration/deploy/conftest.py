"""What several tests of deploy/ measure it by."""

import pytest

from config.settings import load_settings
from worker.cli.supervision import STOP_GRACE_SECONDS


@pytest.fixture
def stop_seconds() -> float:
    """How long a worker or the API may take from SIGTERM to its end: its drain, and what `edw` allows beside it."""
    return load_settings().drain_seconds + STOP_GRACE_SECONDS
