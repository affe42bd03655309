"""The configuration: settings from the environment, Celery, and logging."""
