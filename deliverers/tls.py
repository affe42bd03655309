"""TLS towards receivers: who is trusted, and what a certificate said that was refused."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cryptography import x509

from deliverers.exhaustion import note_unread_authorities

_FACTS = "edw_certificates"


@dataclass(frozen=True, slots=True)
class CertificateFacts:
    """What a person wants to know of a certificate that was refused."""

    names: tuple[str, ...]
    valid_from: datetime
    valid_until: datetime


class _ExplainingSSLObject(ssl.SSLObject):
    """Notes the certificates of a handshake that fails: OpenSSL's error names neither a date nor a name."""

    def do_handshake(self) -> None:
        try:
            super().do_handshake()
        except ssl.SSLCertVerificationError as error:
            setattr(error, _FACTS, _presented(self))
            note_unread_authorities(error)
            raise


def client_context(ca_file: str | None) -> ssl.SSLContext:
    """Make the context of a client that verifies certificates and host names.

    Trusts the system's authorities, and those of `ca_file` (PEM). Raises `OSError` where that cannot be read, and
    `ssl.SSLError` (an `OSError` too) where it holds no certificate.
    """
    context = ssl.create_default_context()
    if ca_file is not None:
        context.load_verify_locations(cafile=ca_file)
    context.set_alpn_protocols(["http/1.1"])
    context.sslobject_class = _ExplainingSSLObject
    return context


def refused_certificates(error: ssl.SSLCertVerificationError) -> tuple[CertificateFacts, ...]:
    """The chain that the peer presented, its own certificate first; empty where it could not be had."""
    facts: tuple[CertificateFacts, ...] = getattr(error, _FACTS, ())
    return facts


def _presented(connection: ssl.SSLObject) -> tuple[CertificateFacts, ...]:
    # Public from Python 3.13 on; before that it lives on the inner object. What cannot be had makes a reason less
    # precise, and must never hide the error that is being explained.
    try:
        holder: Any = connection if hasattr(connection, "get_unverified_chain") else getattr(connection, "_sslobj")  # noqa: B009 (private to type checkers)
        return tuple(_facts(certificate) for certificate in holder.get_unverified_chain())
    except Exception:  # noqa: BLE001  (what a stranger wrote: cryptography's refusals have no base class of their own)
        return ()


def _facts(certificate: Any) -> CertificateFacts:
    der = certificate if isinstance(certificate, bytes) else ssl.PEM_cert_to_DER_cert(certificate.public_bytes())
    parsed = x509.load_der_x509_certificate(der)
    try:
        extension = parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        names = [str(name.value) for name in extension if isinstance(name, x509.DNSName | x509.IPAddress)]
    except Exception:  # noqa: BLE001  (none, or none that can be read; the dates are worth having)
        names = []
    return CertificateFacts(tuple(names), parsed.not_valid_before_utc, parsed.not_valid_after_utc)
