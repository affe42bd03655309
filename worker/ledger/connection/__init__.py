"""The connection to Redis: its address, its clients, and the scripts that it runs."""
