"""Services of the API's handlers: access, event intake, health; wired once per process."""
