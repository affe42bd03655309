"""The way from an event to the outcomes of its attempts: fan-out, claims, attempts and settlements."""
