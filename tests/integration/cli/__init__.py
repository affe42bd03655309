"""The real `edw`, against a real Redis server."""
