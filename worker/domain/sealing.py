"""An integration's secrets: in the clear for deliverers, sealed for the ledger, masked for people."""

from dataclasses import replace

from deliverers.registry import DelivererRegistry, UnknownIntegrationType
from worker.domain.integration import Integration
from worker.domain.masking import hidden, masked, masks_in
from worker.domain.secrets_box import SecretsBox, SecretsError


def opened(integration: Integration, registry: DelivererRegistry, secrets: SecretsBox) -> Integration:
    """Return the integration with its secrets in the clear. Raises SecretsError if no key opens them."""
    return replace(
        integration, configuration=secrets.open(integration.configuration, _secret_fields(integration, registry))
    )


def sealed(integration: Integration, registry: DelivererRegistry, secrets: SecretsBox) -> Integration:
    """Return the integration with its secrets sealed. Raises SecretsError if it has a secret and there is no key."""
    return replace(
        integration, configuration=secrets.seal(integration.configuration, _secret_fields(integration, registry))
    )


def shown(
    integration: Integration, registry: DelivererRegistry, secrets: SecretsBox, *, reveal: bool = False
) -> Integration:
    """Return the ledger's integration with its secrets masked; only stars if no available key opens them.

    `reveal` is for an admin of the integration's own scope. It leaves the secrets that an admin may see in the clear
    (see ShownToAdmin).
    """
    fields = _secret_fields(integration, registry)
    try:
        opened_ = secrets.open(integration.configuration, fields)
        configuration = masked(opened_, fields - _shown_fields(integration, registry) if reveal else fields)
    except SecretsError:
        configuration = hidden(integration.configuration, fields)
    return replace(integration, configuration=configuration)


def changed_secrets(
    before: Integration, after: Integration, registry: DelivererRegistry, secrets: SecretsBox
) -> list[str]:
    """Return the names of the secrets of `after`, an integration of the ledger, that have another value than before.

    Raises SecretsError if no key opens them.
    """
    old, new = (opened(each, registry, secrets).configuration for each in (before, after))
    return [name for name in sorted(_secret_fields(after, registry)) if name in new and old.get(name) != new[name]]


def warnings_of(integration: Integration, registry: DelivererRegistry) -> list[str]:
    """Return warnings about an accepted integration, whose secrets are in the clear."""
    configuration = integration.configuration
    return [
        f"configuration.{name} looks like the mask of a secret: if it was copied from an answer, send the secret itself"
        for name in sorted(_secret_fields(integration, registry))
        if masks_in(configuration.get(name))
    ]


def _secret_fields(integration: Integration, registry: DelivererRegistry) -> frozenset[str]:
    try:
        return registry.secret_fields(integration.integration_type)
    except UnknownIntegrationType:
        # Another installation, with more deliverers than this one, wrote it. Any field might be a secret.
        return frozenset(integration.configuration)


def _shown_fields(integration: Integration, registry: DelivererRegistry) -> frozenset[str]:
    try:
        return registry.shown_fields(integration.integration_type)
    except UnknownIntegrationType:
        return frozenset()
