"""Names of processes, as people use them. No I/O."""

from worker.ledger.process_identity import ProcessIdentity


def process_name(owner: str) -> str:
    """Return a process as people name it: host and process id. `owner` is its name in the ledger."""
    identity = ProcessIdentity.of(owner)
    return f"{owner.rsplit(':', 4)[0]}, process {identity.pid}" if identity else owner
