"""Certificates that an integration has of its own: checked when they are given, and how long they last. No I/O."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from deliverers.tls_identity import TlsIdentity

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

#: Characters of a chain, and of a private key.
LONGEST_PEM = 32 * 1024
#: Certificates of one field, at most.
MOST_CERTIFICATES = 20


def certificates_of(pem: str) -> list[Certificate]:
    """Parse certificates in PEM. Raises `ValueError`, whose text never repeats them."""
    # Imported here: few integrations have a certificate.
    from cryptography import x509

    if len(pem) > LONGEST_PEM:
        raise ValueError(f"must be at most {LONGEST_PEM} characters long, and has {len(pem)}")
    if "PRIVATE KEY" in pem:
        raise ValueError("must not contain a private key: this field is shown to everybody who may read")
    try:
        found = x509.load_pem_x509_certificates(pem.encode())
    except ValueError:
        raise ValueError("must be one or more certificates in PEM (-----BEGIN CERTIFICATE-----)") from None
    if len(found) > MOST_CERTIFICATES:
        raise ValueError(f"must be at most {MOST_CERTIFICATES} certificates, and are {len(found)}")
    return found


def check_key(pem: str) -> Any:
    """Parse a private key in PEM. Raises `ValueError`, whose text never repeats it."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    if len(pem) > LONGEST_PEM:
        raise ValueError(f"must be at most {LONGEST_PEM} characters long, and has {len(pem)}")
    try:
        return load_pem_private_key(pem.encode(), None)
    except TypeError:
        raise ValueError("must be a private key without a passphrase") from None
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError("must be a private key in PEM (-----BEGIN PRIVATE KEY-----)") from None


def is_pair(chain: str, key: str) -> bool:
    """Return whether the first certificate of a valid chain is that of a valid private key."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    of_chain = certificates_of(chain)[0].public_key().public_bytes(*form)
    return bool(of_chain == check_key(key).public_key().public_bytes(*form))


def end_of(pem: object) -> datetime | None:
    """Return when the first of several certificates runs out; None if the text holds none."""
    if not isinstance(pem, str):
        return None
    try:
        return min(each.not_valid_after_utc for each in certificates_of(pem))
    except ValueError:
        return None


def start_of(pem: str) -> datetime:
    """Return when the last of several valid certificates becomes valid."""
    return max((each.not_valid_before_utc for each in certificates_of(pem)), default=datetime.min.replace(tzinfo=UTC))


def identity_of(chain: str | None, key: SecretStr | None, authorities: str | None) -> TlsIdentity | None:
    """Return the identity of connections; None if the integration has none of its own."""
    if chain is None and authorities is None:
        return None
    return TlsIdentity(chain or "", key or SecretStr(""), authorities or "")
