"""The configuration of `aws_sqs`: a queue, and the keys that may send to it."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Annotated, NamedTuple
from urllib.parse import quote

import msgspec
from pydantic import BaseModel, ConfigDict, Field, JsonValue, SecretStr, ValidationInfo, field_validator
from yarl import URL

from deliverers.contract import Destination, NotDestination
from deliverers.lazily import Lazily
from deliverers.urls import checked_url, origin

#: Characters; the longest id that AWS issues (IAM, `AccessKey`).
LONGEST_ACCESS_KEY_ID = 128
#: Characters. AWS issues 40 today, but promises no length.
LONGEST_SECRET_ACCESS_KEY = 256

_VISIBLE = re.compile(r"[\x21-\x7e]+")
_REGION = re.compile(r"[a-z0-9-]{1,64}")
_ROLE = re.compile(r"arn:aws[a-z-]{0,20}:iam::[0-9]{12}:role/[A-Za-z0-9+=,.@_/-]{1,512}")
_KEYS_OR_ROLE: JsonValue = [{"required": ["aws_access_key_id", "aws_secret_access_key"]}, {"required": ["role_arn"]}]


class SqsAccess(NamedTuple):
    """The identity of a client of AWS; equal accesses share a client."""

    endpoint: str
    region: str
    access_key_id: str
    secret_access_key: str
    #: Of temporary credentials; empty for an integration's own keys.
    session_token: str = ""

    def __repr__(self) -> str:
        return f"Access({self.endpoint!r}, {self.region!r}, ********)"


def _queue(text: str) -> tuple[object, str]:
    return origin(text), URL(text).raw_path_qs


class AwsSqsConfiguration(BaseModel):
    """`AWSSQSConfigurationObject` of the specification. Both keys are secrets that nobody is shown.

    A `role_arn` may stand in place of the keys. Derived values are computed once per object.
    """

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        json_schema_extra={"anyOf": _KEYS_OR_ROLE},
        ignored_types=(Lazily,),
    )

    url: Annotated[str, Destination(_queue)]
    role_arn: Annotated[str | None, Destination()] = Field(
        default=None,
        description="Role that the worker assumes, in place of keys; the ExternalId is the store's id.",
        json_schema_extra={"pattern": f"^{_ROLE.pattern}$"},
    )
    #: A destination, because it says whose the secret key is.
    aws_access_key_id: Annotated[SecretStr | None, Destination()] = Field(
        default=None,
        validate_default=True,
        json_schema_extra={"pattern": f"^[!-~]{{1,{LONGEST_ACCESS_KEY_ID}}}$"},
    )
    aws_secret_access_key: Annotated[SecretStr | None, NotDestination()] = Field(
        default=None,
        validate_default=True,
        json_schema_extra={"pattern": f"^[!-~]{{1,{LONGEST_SECRET_ACCESS_KEY}}}$"},
    )
    region: str = Field(json_schema_extra={"pattern": f"^{_REGION.pattern}$"})

    @field_validator("url")
    @classmethod
    def _url_names_a_queue(cls, value: str) -> str:
        # http is for other servers of the protocol, in a private network.
        if not checked_url(value, ("https", "http")).name:
            raise ValueError("must end in the name of a queue, such as https://sqs.eu-west-1.amazonaws.com/123/orders")
        return value

    @field_validator("role_arn")
    @classmethod
    def _role_is_sound(cls, value: str | None) -> str | None:
        if value is not None and not _ROLE.fullmatch(value):
            raise ValueError("must be the ARN of a role, such as arn:aws:iam::123456789012:role/events")
        return value

    @field_validator("aws_access_key_id")
    @classmethod
    def _id_is_sound(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        return _checked_key(value, LONGEST_ACCESS_KEY_ID, info)

    @field_validator("aws_secret_access_key")
    @classmethod
    def _secret_is_sound(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        return _checked_key(value, LONGEST_SECRET_ACCESS_KEY, info)

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

    @Lazily
    def is_fifo(self) -> bool:
        """Return whether this is a FIFO queue, by AWS's rule for its name."""
        return self.queue_name.endswith(".fifo")

    @Lazily
    def endpoint(self) -> URL:
        """Return the URL of requests: the queue's URL without its last two segments, account and queue."""
        url = URL(self.url)
        return url.origin().with_path("/" + "/".join(url.raw_parts[1:-2]), encoded=True)

    def access(self, endpoint: URL) -> SqsAccess:
        """Return the identity of the client for requests to this endpoint."""
        return SqsAccess(str(endpoint), self.region, _plain(self.aws_access_key_id), _plain(self.aws_secret_access_key))


@lru_cache(1_000)
def secret_forms(access: SqsAccess) -> tuple[bytes, ...]:
    """Return the keys as a text may repeat them: plain, in a JSON string, in a URL; the longest first."""
    forms: set[bytes] = set()
    for key in filter(None, (access.secret_access_key, access.access_key_id, access.session_token)):
        quoted = msgspec.json.encode(key)[1:-1]
        forms |= {key.encode(), quoted, quoted.replace(b"/", b"\\/")}
        forms |= {quote(key, safe=safe).encode() for safe in ("", "+", "/")}
    return tuple(sorted(forms, key=len, reverse=True))


def _plain(key: SecretStr | None) -> str:
    return "" if key is None else key.get_secret_value()


def _checked_key(value: SecretStr | None, longest: int, info: ValidationInfo) -> SecretStr | None:
    # A role that is not valid is missing here, and has been refused.
    has_role = info.data.get("role_arn", "refused") is not None
    if value is None:
        if not has_role:
            raise ValueError("is required")
        return None
    if info.data.get("role_arn") is not None:
        raise ValueError("cannot be combined with role_arn: the worker uses the keys or the role")
    key = value.get_secret_value()
    if not key.strip():
        raise ValueError("must not be empty")
    if len(key) > longest:
        raise ValueError(f"must be at most {longest} characters long, and has {len(key)}")
    if not _VISIBLE.fullmatch(key):
        raise ValueError("must be visible ASCII characters, without spaces")
    return value
