"""How an event leaves: one deliverer for each `integration_type`, and what they share.

`contract` is what a deliverer promises, `registry` finds one by its type, `egress` decides which addresses may be
dialled, `envelopes` turns a delivery into bytes, and each transport has a room of its own. Nothing here knows of
queues, the ledger or settings.
"""
