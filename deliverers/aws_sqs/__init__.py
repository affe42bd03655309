"""`aws_sqs`: an event leaves as one message of an Amazon SQS queue.

    configuration   whose queue, and with which keys
    messages        a delivery as a message: its size, and what a FIFO queue asks for
    batches         how many of those that wait go together
    queues          what waits for a queue, and what is under way to it
    clients         clients of AWS: one for an endpoint, a region and a pair of keys, while it is used
    transport       their HTTP: guarded, bounded, and shared by all of them
    answers         what SQS answered, as an outcome for each message
    errors          AWS's error codes in words
    deliverer       all of it together

Choices, each where no specification decides:

- Every request is a SendMessageBatch, of one message too. It asks for the permission `sqs:SendMessage`, as the other.
- botocore signs and serialises; answers are read here. Its parser trusts its server: it takes a web page for an empty
  answer, and raises `AttributeError` on a list.
- botocore tries once: trying again is the ledger's, which counts and logs it.
- The endpoint is the queue URL's own, or the setting's; the egress policy holds for either.
- A message over the limit without what it includes is a refusal without a status: the queue's limit speaks through us.
- Nothing of the environment is used: no AWS_ variable, no file in ~/.aws, no instance's credentials.
"""

from deliverers.aws_sqs.sqs_configuration import AwsSqsConfiguration
from deliverers.aws_sqs.sqs_deliverer import AwsSqsDeliverer

__all__ = ["AwsSqsConfiguration", "AwsSqsDeliverer"]
