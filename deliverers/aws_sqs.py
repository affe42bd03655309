"""`aws_sqs`: an event leaves as one message of an Amazon SQS queue.

Its deliverer is not there yet: this is the configuration, with which integrations of the type can be registered.
"""

from __future__ import annotations

import re

from pydantic import BaseModel, ConfigDict, SecretStr, field_validator
from yarl import URL

from deliverers.urls import checked_url

#: Characters; the longest that AWS gives out (IAM, `AccessKey`).
LONGEST_ACCESS_KEY_ID = 128
#: Characters. AWS gives out 40 today, and promises no length.
LONGEST_SECRET_ACCESS_KEY = 256

_VISIBLE = re.compile(r"[\x21-\x7e]+")
_REGION = re.compile(r"[a-z0-9-]{1,64}")


class AwsSqsConfiguration(BaseModel):
    """`AWSSQSConfigurationObject` of the specification. Both keys are secrets, and shown to nobody."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    url: str
    aws_access_key_id: SecretStr
    aws_secret_access_key: SecretStr
    region: str

    @field_validator("url")
    @classmethod
    def _url_names_a_queue(cls, value: str) -> str:
        # http: queues of the protocol's other servers, in a network of one's own.
        if not checked_url(value, ("https", "http")).name:
            raise ValueError("must end in the name of a queue, such as https://sqs.eu-west-1.amazonaws.com/123/orders")
        return value

    @field_validator("aws_access_key_id")
    @classmethod
    def _id_is_sound(cls, value: SecretStr) -> SecretStr:
        return _checked_key(value, LONGEST_ACCESS_KEY_ID)

    @field_validator("aws_secret_access_key")
    @classmethod
    def _secret_is_sound(cls, value: SecretStr) -> SecretStr:
        return _checked_key(value, LONGEST_SECRET_ACCESS_KEY)

    @field_validator("region")
    @classmethod
    def _region_is_sound(cls, value: str) -> str:
        if not _REGION.fullmatch(value):
            raise ValueError("must be 1 to 64 lower-case letters, digits and hyphens, such as eu-west-1")
        return value

    @property
    def queue_name(self) -> str:
        """The queue's own name: that of a FIFO queue ends in `.fifo`."""
        return URL(self.url).name


def _checked_key(value: SecretStr, longest: int) -> SecretStr:
    key = value.get_secret_value()
    if not key.strip():
        raise ValueError("must not be empty")
    if len(key) > longest:
        raise ValueError(f"must be at most {longest} characters long, and has {len(key)}")
    if not _VISIBLE.fullmatch(key):
        raise ValueError("must be visible ASCII characters, without spaces")
    return value
