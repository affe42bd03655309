"""What an attacker knows: addresses, and the tokens that a customer has for a store of its own."""

import msgspec

#: Where everything listens.
HOST = "127.0.0.1"


class Hostile(msgspec.Struct, frozen=True):
    """Ports of the attacker."""

    receiver: int
    broker: int


class Flooded(msgspec.Struct, frozen=True):
    """A store whose receivers answer with floods."""

    store_id: str
    integration_ids: tuple[str, ...]
    publish: str
    admin: str


class Target(msgspec.Struct, frozen=True):
    """One API, one worker and their Redis."""

    api_port: int
    #: The worker's.
    metrics_port: int
    #: The socket of Redis. Producers of the plain queue and of Celery messages reach it.
    redis_socket: str
    store_id: str
    #: An integration of that store, whose receiver is the attacker's.
    integration_id: str
    #: Tokens of that store, by their role.
    admin: str
    publish: str
    read: str
    #: An admin's token of another store, which has no integrations yet.
    crowd: str
    #: Stores whose receivers answer with floods, by the flood's name; `all` has one of each.
    floods: dict[str, Flooded]
