"""The version of what this build writes and reads: the ledger's format, and the minor version within it.

worker/ARCHITECTURE.md has the rules of an upgrade. A new minor version adds fields, and changes no meaning: a process
that does not know the field leaves the record to a process that does.
"""

from collections.abc import Mapping
from types import MappingProxyType

#: The ledger's format (major version). A process refuses a ledger of any other format.
FORMAT = 2
#: The minor version that this build understands. Write a new field only where the minor version in force has it.
#: 1: an event may carry `payload` in place of `data`.
#: 2: an integration may have a `filter`, a `timeout`, a `retry_schedule`, key pairs, and further keys of its
#: configuration.
#: 3: the list of new events for registered observers may have the records of events beside their references.
MINOR = 3
#: The minor version that a process needs for an event with `payload`.
PAYLOAD_SINCE = 1
#: The minor version that a process needs for an integration with a `filter`: an older one would deliver everything.
FILTER_SINCE = 2
#: The minor version that a process needs for an integration with a patience of its own.
PATIENCE_SINCE = 2
#: The minor version that a process needs for an integration with key pairs: an older one would not sign with them.
KEYS_SINCE = 2
#: Keys of configurations that a minor version added, by integration_type, each with that version. An older process
#: would deliver without the authentication that they ask for, or fail.
CONFIGURATION_SINCE: Mapping[str, Mapping[str, int]] = MappingProxyType(
    {
        "webhook": dict.fromkeys(
            (
                *("headers", "basic_username", "basic_password", "bearer_token"),
                *("oauth_token_url", "oauth_client_id", "oauth_client_secret", "oauth_scope", "oauth_audience"),
                *("oauth_auth_method", "client_certificate", "client_key", "ca_certificate"),
            ),
            2,
        ),
        "aws_sqs": {"role_arn": 2},
    }
)


def written_minor(in_force: int) -> int:
    """Return the minor version that this build writes, given the one in force: what every live process understands."""
    return min(MINOR, in_force)


def is_newer(minor: int) -> bool:
    """Return whether a record or message needs a newer build than this one."""
    return minor > MINOR


def format_problem(written: str, address: str) -> str:
    """Return why this build does not use a ledger of the format `written`, and what to do."""
    seen = f"the ledger at {address} has format {written}, and this version uses format {FORMAT}"
    if written.isdecimal() and int(written) > FORMAT:
        return f"{seen}: update this process"
    return (
        f"{seen}; there is no migration: have the old version deliver what is pending, then delete the keys of the old "
        "ledger (edw:{<shard>}:*), or choose an empty Redis (EDW_REDIS_URL) or another shard (EDW_SHARD)"
    )
