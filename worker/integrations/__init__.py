"""Changes to integrations, redelivery, and the lifecycle events that changes publish."""
