"""The connections to Redis, the scripts that it runs, and where it is found."""
