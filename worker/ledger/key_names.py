"""Names of keys that are used outside the ledger's scripts."""

#: The plain queue of shard "0"; other shards append their name. The RabbitMQ queue has the same name.
INTAKE_LIST = "edw.intake"


def intake_list(shard: str) -> str:
    """Return the key of a shard's plain queue. It is the only key without the ledger's prefix: producers type it."""
    return INTAKE_LIST if shard == "0" else f"{INTAKE_LIST}.{shard}"
