"""Deliverers: one for each `integration_type`, and what they share.

`contract` defines what a deliverer promises, and `registry` finds one by its type. `egress` decides which addresses
may be dialled, and `envelopes` turns a delivery into bytes. Each transport has its own package or module. Nothing here
knows queues, the ledger or settings.
"""
