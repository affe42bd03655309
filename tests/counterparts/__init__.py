"""Real servers for tests: each private, on loopback, and ended by the test that started it."""
