"""`stomp`: an event leaves as one persistent message to a STOMP 1.2 broker; delivered means that its RECEIPT arrived.

The way of a message: `stomp_deliverer` makes a frame of a delivery. `pool` finds the connection of its account, or has
one opened (`dialling`). `connection` writes the frame and waits; `stomp_session` knows which message an answer belongs
to. `frames` and `stomp_session` do no I/O. Only the frame codec of stomp.py is used: its connection has no deadlines,
does not notice a broker that dies on TLS, and escapes nothing.

What a broker's answer means:

==========================  ============================================================ RECEIPT
delivered ERROR with a `receipt-id`   refused, that message alone ERROR without               the outcome of all
messages under way is unknown; tried again a lost connection           the same ==========================
============================================================

So a message may arrive twice, and is never lost. Integrations with equal addresses and credentials share a connection.
After a broker ended it with an ERROR, each destination has its own connection for a while (see `pool`). One limit is
the broker's: RabbitMQ confirms messages that it cannot route (to an exchange with no queue bound for the routing key),
and drops them.
"""

from deliverers.stomp.stomp_configuration import StompConfiguration
from deliverers.stomp.stomp_deliverer import StompDeliverer

__all__ = ["StompConfiguration", "StompDeliverer"]
