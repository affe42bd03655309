"""The ways in for events that no producer calls directly, and the steps that all ways in share.

Four ways lead to the ledger. Each answers, acknowledges or drops an event only when the ledger has it:

    worker/publisher.py     the Publisher class, for Python
    worker/api/             HTTP
    the plain queue         JSON or CloudEvents, from any language: redis_list, and rabbitmq_queue if RabbitMQ is the
                            broker; message_parser defines what a message may contain
    celery_messages         whole events in messages to our Celery tasks

The first two return refusals to their caller. In the other two nobody waits for an answer. There the worker logs and
counts a refusal, keeps it in the ledger's bounded list of rejected events, and finishes the message.
"""
