"""What the ledger holds: its balance, its totals for metrics, what became of an event, and the audit."""
