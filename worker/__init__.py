"""The worker: accepts events, and delivers each one to every integration that observes it."""
