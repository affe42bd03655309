"""`python -m worker.cli`: the same as `edw`, with the current interpreter."""

from worker.cli import main

main()
