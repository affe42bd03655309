"""How fast, and at what cost: `python -m tests.benchmarks` (see __main__.py)."""
