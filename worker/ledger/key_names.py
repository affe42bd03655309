"""Names of keys that others than the ledger's scripts use."""

#: The plain queue of shard "0"; another shard's has its name behind it. On RabbitMQ it is called the same.
INTAKE_LIST = "edw.intake"


def intake_list(shard: str) -> str:
    """The key of a shard's plain queue. It is the one key without the ledger's prefix: producers type it."""
    return INTAKE_LIST if shard == "0" else f"{INTAKE_LIST}.{shard}"
