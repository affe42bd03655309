"""Events flow through all four ingresses while processes are killed and stopped at random, and Redis's clock steps.

A checker that knows every id counts.

python -m tests.chaos [--seed N] [--kills N] [--broker redis|rabbitmq|both]

schedule     who is killed when, and when the clock steps: a function of the seed
victims      what can be killed, and started again
stage        the processes of a run, and their arguments
producer     offers events through one of the ingresses, and notes each before and after
receiver     answers as badly as receivers do, and notes every request; it is never killed
play         a run: kills by the schedule, then waits until nothing is under way
records      what was noted, as values
checker      what must hold of them
table        what is printed

python -m tests.chaos.outages has Redis or a broker away for long: tests/integration/process/test_outages.py.
"""
