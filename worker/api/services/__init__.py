"""What the API's handlers call: access, event intake, health; wired once for each process."""
