"""The Grafana dashboard: read for tests, and drawn from live data where there is no Grafana (`make dashboard`)."""
