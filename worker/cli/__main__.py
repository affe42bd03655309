"""`python -m worker.cli`: the same as `edw`, by the interpreter that runs."""

from worker.cli import main

main()
