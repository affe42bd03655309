"""The configuration of `aws_sqs`: a queue, and the keys that may send to it."""

from __future__ import annotations

import re
from functools import cached_property
from typing import Annotated, NamedTuple
from urllib.parse import quote

import msgspec
from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator
from yarl import URL

from deliverers.contract import Destination, NotDestination
from deliverers.urls import checked_url, origin

#: Characters; the longest id that AWS issues (IAM, `AccessKey`).
LONGEST_ACCESS_KEY_ID = 128
#: Characters. AWS issues 40 today, but promises no length.
LONGEST_SECRET_ACCESS_KEY = 256

_VISIBLE = re.compile(r"[\x21-\x7e]+")
_REGION = re.compile(r"[a-z0-9-]{1,64}")


class SqsAccess(NamedTuple):
    """The identity of a client of AWS; equal accesses share a client."""

    endpoint: str
    region: str
    access_key_id: str
    secret_access_key: str

    def __repr__(self) -> str:
        return f"Access({self.endpoint!r}, {self.region!r}, ********)"


def _queue(text: str) -> tuple[object, str]:
    return origin(text), URL(text).raw_path_qs


class AwsSqsConfiguration(BaseModel):
    """`AWSSQSConfigurationObject` of the specification. Both keys are secrets that nobody is shown.

    Derived values are computed once per object.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    url: Annotated[str, Destination(_queue)]
    #: A destination, because it says whose the secret key is.
    aws_access_key_id: Annotated[SecretStr, Destination()] = Field(
        json_schema_extra={"pattern": f"^[!-~]{{1,{LONGEST_ACCESS_KEY_ID}}}$"}
    )
    aws_secret_access_key: Annotated[SecretStr, NotDestination()] = Field(
        json_schema_extra={"pattern": f"^[!-~]{{1,{LONGEST_SECRET_ACCESS_KEY}}}$"}
    )
    region: str = Field(json_schema_extra={"pattern": f"^{_REGION.pattern}$"})

    @field_validator("url")
    @classmethod
    def _url_names_a_queue(cls, value: str) -> str:
        # http is for other servers of the protocol, in a private network.
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
        """Return the queue's name."""
        return URL(self.url).name

    @cached_property
    def is_fifo(self) -> bool:
        """Return whether this is a FIFO queue, by AWS's rule for its name."""
        return self.queue_name.endswith(".fifo")

    @cached_property
    def endpoint(self) -> URL:
        """Return the URL of requests: the queue's URL without its last two segments, account and queue."""
        url = URL(self.url)
        return url.origin().with_path("/" + "/".join(url.raw_parts[1:-2]), encoded=True)

    def access(self, endpoint: URL) -> SqsAccess:
        """Return the identity of the client for requests to this endpoint."""
        return SqsAccess(
            str(endpoint),
            self.region,
            self.aws_access_key_id.get_secret_value(),
            self.aws_secret_access_key.get_secret_value(),
        )

    @cached_property
    def secret_forms(self) -> tuple[bytes, ...]:
        """Return the keys as a text may repeat them: plain, in a JSON string, in a URL; the longest first."""
        forms: set[bytes] = set()
        for key in (self.aws_secret_access_key.get_secret_value(), self.aws_access_key_id.get_secret_value()):
            quoted = msgspec.json.encode(key)[1:-1]
            forms |= {key.encode(), quoted, quoted.replace(b"/", b"\\/")}
            forms |= {quote(key, safe=safe).encode() for safe in ("", "+", "/")}
        return tuple(sorted(forms, key=len, reverse=True))


def _checked_key(value: SecretStr, longest: int) -> SecretStr:
    key = value.get_secret_value()
    if not key.strip():
        raise ValueError("must not be empty")
    if len(key) > longest:
        raise ValueError(f"must be at most {longest} characters long, and has {len(key)}")
    if not _VISIBLE.fullmatch(key):
        raise ValueError("must be visible ASCII characters, without spaces")
    return value
