"""A worker process: its event loop, its wiring, its Celery consumer, signals and timers."""
