"""An integration's own certificates: checked when they are given, and warned of before they run out."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from deliverers.registry import ConfigurationError, DelivererRegistry
from deliverers.webhook import WebhookConfiguration
from tests.samples import an_integration
from worker.domain.configuration_replacement import configured
from worker.domain.expiry import expiry_warnings
from worker.telemetry.certificate_watch import CertificateWatch

TYPES = DelivererRegistry.built_in()
URL = "https://shop.example/hook"
NOW = datetime(2026, 11, 29, tzinfo=UTC)
AUTHORITY = trustme.CA()
CA = AUTHORITY.cert_pem.bytes().decode()


def issued(days: float = 365) -> tuple[str, str]:
    """A certificate that lasts for so many days from NOW on, and its key."""
    end = NOW + timedelta(days=days)
    made = AUTHORITY.issue_cert(common_name="shop", not_before=end - timedelta(days=800), not_after=end)
    return made.cert_chain_pems[0].bytes().decode(), made.private_key_pem.bytes().decode()


CERTIFICATE, KEY = issued()
OTHER_KEY = issued()[1]
LOCKED = (
    load_pem_private_key(KEY.encode(), None)
    .private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"passphrase"))
    .decode()
)


def test_a_pair_and_authorities_make_an_identity_that_shows_nothing() -> None:
    given = {"url": URL, "client_certificate": CERTIFICATE + CA, "client_key": KEY, "ca_certificate": CA}
    parsed = TYPES.parse_configuration("webhook", given)
    assert isinstance(parsed, WebhookConfiguration)
    identity = parsed.head.identity
    assert identity is not None
    assert identity.certificate.startswith(CERTIFICATE)
    assert "PRIVATE KEY" not in repr((parsed, identity))
    plain = TYPES.parse_configuration("webhook", {"url": URL})
    assert isinstance(plain, WebhookConfiguration)
    assert plain.head.identity is None


@pytest.mark.parametrize(
    ("given", "field", "words"),
    [
        ({"client_certificate": CERTIFICATE}, "client_key", "is required with client_certificate"),
        ({"client_key": KEY}, "client_certificate", "is required with client_key"),
        ({"client_certificate": CERTIFICATE, "client_key": OTHER_KEY}, "client_key", "is not the key of the first"),
        ({"client_certificate": CA + CERTIFICATE, "client_key": KEY}, "client_key", "is not the key of the first"),
        ({"client_certificate": CERTIFICATE, "client_key": LOCKED}, "client_key", "without a passphrase"),
        ({"client_certificate": CERTIFICATE, "client_key": CERTIFICATE}, "client_key", "must be a private key in PEM"),
        (
            {"client_certificate": CERTIFICATE + KEY, "client_key": KEY},
            "client_certificate",
            "not contain a private key",
        ),
        ({"client_certificate": "MIIC", "client_key": KEY}, "client_certificate", "one or more certificates in PEM"),
        ({"ca_certificate": CA.replace("M", "N")}, "ca_certificate", "one or more certificates in PEM"),
        ({"ca_certificate": CA * 21}, "ca_certificate", "at most 20 certificates, and are 21"),
        ({"ca_certificate": "x" * 32_769}, "ca_certificate", "at most 32768 characters"),
        (
            {"url": "http://shop.example", "ca_certificate": CA},
            "ca_certificate",
            "needs a url that begins with https://",
        ),
    ],
)
def test_what_makes_no_identity_is_refused_at_its_field(given: dict[str, Any], field: str, words: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        TYPES.parse_configuration("webhook", {"url": URL} | given)
    (problem,) = caught.value.problems
    assert problem.field == f"configuration.{field}"
    assert words in problem.message
    assert KEY[40:80] not in str(caught.value)


def test_a_certificate_that_has_run_out_is_refused_when_it_is_given_and_kept_where_it_is_stored() -> None:
    certificate, key = issued(days=-1)
    given = {"url": URL, "client_certificate": certificate, "client_key": key}
    found = configured(given, "webhook", TYPES, None, NOW)
    assert isinstance(found, list)
    assert [str(each) for each in found] == [
        "configuration.client_certificate: expired on 2026-11-28: give one that is valid"
    ]
    # Another change of such an integration is possible.
    sent_back = given | {"client_key": "********", "secret_key": "new secret"}
    assert configured(sent_back, "webhook", TYPES, given, NOW) == given | {"secret_key": "new secret"}


@pytest.mark.parametrize(
    ("days", "words"),
    [
        (31, []),
        (29.5, ["configuration.client_certificate expires on 2026-12-28, in 29 days: replace it"]),
        (-1, ["configuration.client_certificate expired on 2026-11-28: replace it"]),
    ],
)
def test_people_are_warned_30_days_ahead_with_or_without_the_keys(days: float, words: list[str]) -> None:
    certificate, _ = issued(days)
    stored = {"url": URL, "client_certificate": certificate, "client_key": "sealed:x"}
    assert expiry_warnings(an_integration(configuration=stored), TYPES, NOW) == words
    assert expiry_warnings(an_integration(integration_type="pigeon", configuration=stored), TYPES, NOW) == []


def ending(state: str) -> float | None:
    return REGISTRY.get_sample_value("edw_certificates_ending", {"state": state})


def test_what_runs_out_is_counted_and_logged_once_a_day() -> None:
    watch = CertificateWatch()
    for name, days in (("soon", 3), ("over", -3), ("fine", 300)):
        watch.note(name, {"client_certificate": NOW + timedelta(days=days)})
    with capture_logs() as said:
        found = [watch.look(NOW + timedelta(hours=hours)) for hours in (0, 12, 25)]
    assert (ending("soon"), ending("expired")) == (1, 1)
    assert [each["integration"] for each in said] == ["soon", "over"] * 2
    assert [[(each.integration_id, each.field) for each in some] for some in found] == [
        [("soon", "client_certificate"), ("over", "client_certificate")],
        [],
        [("soon", "client_certificate"), ("over", "client_certificate")],
    ]
    assert found[0][0].ends == round((NOW + timedelta(days=3)).timestamp() * 1000)
    assert said[0]["why"] == "expires on 2026-12-02, in 3 days: replace it"
    watch.forget(["soon", "over", "fine"])
    assert (ending("soon"), ending("expired")) == (0, 0)
