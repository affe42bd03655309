"""`aws_sqs`: an event leaves as one message to an Amazon SQS queue.

    sqs_configuration   the queue, and the keys that may send to it
    sqs_messages        a delivery as a message: its size, and what a FIFO queue needs
    sqs_batches         how many waiting messages go together
    queues              the waiting messages of a queue, and the requests under way to it
    clients             clients of AWS: one for an endpoint, a region and a pair of keys, while it is used
    transport           the HTTP of the clients: guarded, bounded, shared by all
    sqs_answers         SQS's answer as an outcome for each message
    aws_errors          AWS's error codes in words
    sqs_deliverer       the deliverer, made of all of these

Choices where no specification decides:

- Every request is a SendMessageBatch, even for one message. It needs the permission `sqs:SendMessage`, as SendMessage
  does.
- botocore signs and serialises; we read the answers. botocore's parser trusts its server: it takes a web page for an
  empty answer, and raises `AttributeError` on a list.
- botocore tries once: retries belong to the ledger, which counts and logs them.
- The endpoint comes from the queue's URL or from the setting; the egress policy applies to both.
- A message that exceeds the limit even without its `included` is refused without a status: we enforce the queue's
  limit.
- Nothing is taken from the environment: no AWS_ variable, no file in ~/.aws, no instance credentials.
"""

from deliverers.aws_sqs.sqs_configuration import AwsSqsConfiguration
from deliverers.aws_sqs.sqs_deliverer import AwsSqsDeliverer

__all__ = ["AwsSqsConfiguration", "AwsSqsDeliverer"]
