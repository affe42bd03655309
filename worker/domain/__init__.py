"""Values and pure decisions: events, integrations, jobs, logs, matching, retries, secrets. No I/O."""
