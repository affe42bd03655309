"""The real `edw`, against a real store."""
