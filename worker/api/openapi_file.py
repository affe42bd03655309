"""The published description of the API, `worker/api/openapi.json`: without a deployment's own keys and plug-ins.

A process serves its own description at `/openapi.json`.
"""

import sys
from pathlib import Path

import msgspec

from config.observable_events import load_catalogue
from deliverers.registry import DelivererRegistry
from worker.api.handlers.api_docs import product_version
from worker.api.openapi import openapi_document
from worker.api.routes import OPERATIONS

#: The server of `edw dev`.
SERVER = "http://127.0.0.1:8080"
_USAGE = "usage: python -m worker.api.openapi_file [--write FILE | --check FILE]"


def published() -> str:
    """Return the description as JSON, for people and for generators of clients."""
    types, catalogue = DelivererRegistry.built_in(), load_catalogue()
    document = openapi_document(OPERATIONS, types, catalogue, product_version(), SERVER)
    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode() + "\n"


def main(arguments: list[str]) -> str | None:
    """Run the command line. Return an error message, or None."""
    match arguments:
        case []:
            sys.stdout.write(published())
        case ["--write", name]:
            Path(name).write_text(published())
        case ["--check", name]:
            if Path(name).read_text() != published():
                return f"{name} is stale; run: python -m worker.api.openapi_file --write {name}"
        case _:
            return _USAGE
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
