"""A process's reports about itself: metrics, health, traces and log events."""
