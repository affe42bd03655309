"""Changes of an integration by options, each of which is one key of its configuration."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from worker.cli.cli_session import CliSession
from worker.cli.selection import find_integration
from worker.domain.event import Refusal, Scope
from worker.domain.integration import Integration
from worker.ledger.integration_repository import RevisionConflict

#: Tries to merge keys into a configuration that somebody else keeps changing.
TRIES = 20


async def change_integration(
    at: CliSession, named: str, scope: Scope, attributes: Mapping[str, Any], keys: Mapping[str, Any]
) -> Integration | list[Refusal]:
    """Update an integration, with `keys` merged into its configuration.

    The base is the configuration in `attributes`, or else the present one. The result is that of
    `IntegrationService.update`. Raises CommandFailure if there is no such integration.
    """
    if not keys:
        return await at.registrar.update(await find_integration(at, named, scope), attributes, at.actor)
    tries_left = TRIES
    while True:
        tries_left -= 1
        current = await find_integration(at, named, scope)
        changes = {**attributes, "configuration": _configuration(at, current, attributes, keys)}
        try:
            return await at.registrar.update(current, changes, at.actor, current.revision)
        except RevisionConflict:
            # The configuration that the keys were merged into is no longer the present one.
            if not tries_left:
                raise


def _configuration(
    at: CliSession, current: Integration, attributes: Mapping[str, Any], keys: Mapping[str, Any]
) -> dict[str, Any]:
    """Merge `keys` into the configuration they belong to; of the present one, the secrets are masks."""
    # Imported here because deliverers load an HTTP client, which most commands do not need.
    from deliverers.registry import UnknownIntegrationType, normalise_integration_type

    kind = normalise_integration_type(str(attributes.get("integration_type", current.integration_type)))
    base = attributes.get("configuration")
    if "configuration" not in attributes and kind == current.integration_type:
        base = at.registrar.shown(current).configuration
    with suppress(UnknownIntegrationType):  # the service refuses it with a message
        keys = at.types.normalised(kind, keys)
    return merged(base, keys)


def merged(configuration: object, keys: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration with other values for some keys; of a value that is an object, only for its keys given.

    None removes a key.
    """
    base = dict(configuration) if isinstance(configuration, Mapping) else {}
    for name, value in keys.items():
        known = base.get(name)
        if isinstance(value, Mapping):
            both = {**(known if isinstance(known, Mapping) else {}), **value}
            value = {inner: each for inner, each in both.items() if each is not None}  # noqa: PLW2901  (the value to set)
        base[name] = value
    return {name: value for name, value in base.items() if value is not None}
