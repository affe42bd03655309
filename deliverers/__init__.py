"""How an event leaves: one deliverer for each `integration_type`, and what they share.

`contract` is what a deliverer promises, `registry` finds one by its type, `egress` decides which addresses may be
dialled, `envelopes` turns a delivery into bytes, and each transport has its own package or module. Nothing here knows
queues, the ledger or settings.
"""
