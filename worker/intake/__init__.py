"""The ways in for events, but for the two that producers call.

Four ways lead to the ledger, and each answers, acknowledges or forgets an event only when the ledger has it:

    worker/publisher.py     the Publisher class, for Python
    worker/api/             HTTP
    the plain queue         JSON or CloudEvents, from any language: redis_list, and rabbitmq_queue where that is the
                            broker; messages says what one of its messages may be
    celery_messages         whole events in messages to our Celery tasks

The first two answer their caller what was refused. Here nobody waits for an answer: a refusal is kept in the ledger's
bounded list of rejected events, logged and counted, and the message is done with.
"""
