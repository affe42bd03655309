"""A fleet under test: real worker and API processes, a producer, and a receiver, on a real Redis server and broker.

The fixtures are in the `conftest.py` of the tests that use them; nothing imports a conftest.

environment       the settings that the processes see: quick, and allowed to reach loopback
variants          the commands and the brokers that a test is repeated with
processes         `celery worker`, `edw worker` and `edw api` as processes
api_caller        a caller of an API process
edw_command       `edw` as a command that ends, or as a process that goes on
webhook_receiver  a receiver on loopback that answers as a test wants
producers         programs that know Celery or Redis, and nothing of ours
scene             a ledger, a receiver, integrations and workers, with short verbs
ledger_state      what a test asks of the ledger once events were delivered
outages           a server that goes away for a while, and a process that is watched meanwhile
"""
