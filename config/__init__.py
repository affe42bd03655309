"""What the worker is told: settings from the environment, and what Celery and the logs are made of."""
