"""stomp.py's frame codec, imported on first use."""

from __future__ import annotations

import os
from functools import cache
from importlib import import_module
from typing import Any

_NO_SCAN = "STOMP_SKIP_HOSTNAME_SCAN"


@cache
def codec() -> Any:
    """Import `stomp.utils`, and with it all of stomp.py: 50 ms that only a process that delivers should spend.

    During its import, stomp.py asks the DNS for this machine's own name, which may hang as long as a resolver does.
    Only an environment variable prevents that.
    """
    preset = _NO_SCAN in os.environ
    os.environ.setdefault(_NO_SCAN, "1")
    try:
        return import_module("stomp.utils")
    finally:
        if not preset:
            del os.environ[_NO_SCAN]
