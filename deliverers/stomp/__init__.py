"""`stomp`: an event leaves as one persistent message to a STOMP 1.2 broker, and is delivered once its RECEIPT is there.

The way of a message: `deliverer` makes a frame of a delivery, `pool` finds the connection of its account or has one
opened (`dialling`), `connection` writes it and waits, `session` says whose an answer is. `frames` and `session` do no
I/O. stomp.py is used for its frame codec only: its connection has no deadlines, does not notice a broker that dies on
TLS, and escapes nothing.

What a broker's answer means:

==========================  ============================================================
RECEIPT                     delivered
ERROR with a `receipt-id`   refused, that message alone
ERROR without               the outcome of all that were under way is unknown: tried again
a lost connection           the same
==========================  ============================================================

So a message may arrive twice, and is never lost. Integrations with equal addresses and credentials share a connection,
except for a while after a broker ended it with an ERROR: then each destination has its own (see `pool`). One limit is
the broker's: RabbitMQ confirms what it cannot route (a routing key of an exchange that no queue is bound to), and drops
it.
"""

from deliverers.stomp.stomp_configuration import StompConfiguration
from deliverers.stomp.stomp_deliverer import StompDeliverer

__all__ = ["StompConfiguration", "StompDeliverer"]
