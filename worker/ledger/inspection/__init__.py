"""Views of the ledger: its balance, its totals for metrics, the history of an event, and the audit."""
