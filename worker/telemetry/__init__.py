"""What a process reports of itself: metrics, health, traces, log events."""
