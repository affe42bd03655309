"""TLS towards receivers: trusted authorities, and the facts of a certificate that was refused."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from deliverers.exhaustion import note_unread_authorities
from deliverers.tls_identity import TlsIdentity

_FACTS = "edw_certificates"


@dataclass(frozen=True, slots=True)
class CertificateFacts:
    """The facts of a refused certificate that a person wants to know."""

    names: tuple[str, ...]
    valid_from: datetime
    valid_until: datetime


#: The session that a handshake resumes which begins in this context; None begins a new one.
_resumed: ContextVar[ssl.SSLSession | None] = ContextVar("edw_tls_session", default=None)


class _ExplainingSSLObject(ssl.SSLObject):
    """An SSL object that keeps the certificates of a failed handshake: OpenSSL's error has neither dates nor names.

    It resumes the session that `resuming` names.
    """

    _has_begun = False

    def do_handshake(self) -> None:
        if not self._has_begun:
            self._has_begun = True
            if (session := _resumed.get()) is not None:
                self.session = session
        try:
            super().do_handshake()
        except ssl.SSLCertVerificationError as error:
            setattr(error, _FACTS, _presented(self))
            note_unread_authorities(error)
            raise


def client_context(ca_file: str | None, identity: TlsIdentity | None = None) -> ssl.SSLContext:
    """Return a client's context that verifies certificates and host names.

    It trusts the system's authorities, and those of `ca_file` (PEM); or else only the authorities of the identity.
    Raises `OSError` if the file cannot be read, and `ssl.SSLError` (an `OSError` too) if it holds no certificate.
    """
    own = identity.authorities if identity is not None else ""
    context = ssl.create_default_context(cadata=own or None)
    if ca_file is not None and not own:
        context.load_verify_locations(cafile=ca_file)
    if identity is not None:
        identity.apply(context)
    context.set_alpn_protocols(["http/1.1"])
    context.sslobject_class = _ExplainingSSLObject
    return context


@contextmanager
def resuming(session: ssl.SSLSession | None) -> Iterator[None]:
    """Have the handshakes that begin in this block resume a session (RFC 8446, section 2.2).

    The session must be one with the same server: its certificate is not checked again.
    """
    token = _resumed.set(session)
    try:
        yield
    finally:
        _resumed.reset(token)


def refused_certificates(error: ssl.SSLCertVerificationError) -> tuple[CertificateFacts, ...]:
    """Return the chain that the peer presented, its own certificate first; empty if it is unknown."""
    facts: tuple[CertificateFacts, ...] = getattr(error, _FACTS, ())
    return facts


def _presented(connection: ssl.SSLObject) -> tuple[CertificateFacts, ...]:
    # Public from Python 3.13 on; before that, only the inner object has it. Without the chain the reason is less
    # precise, but a failure here must never hide the error that is being explained.
    try:
        holder: Any = connection if hasattr(connection, "get_unverified_chain") else getattr(connection, "_sslobj")  # noqa: B009 (private to type checkers)
        return tuple(_facts(certificate) for certificate in holder.get_unverified_chain())
    except Exception:  # noqa: BLE001  (foreign input, and cryptography's errors have no common base class)
        return ()


def _facts(certificate: Any) -> CertificateFacts:
    from cryptography import x509

    der = certificate if isinstance(certificate, bytes) else ssl.PEM_cert_to_DER_cert(certificate.public_bytes())
    parsed = x509.load_der_x509_certificate(der)
    try:
        extension = parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        names = [str(name.value) for name in extension if isinstance(name, x509.DNSName | x509.IPAddress)]
    except Exception:  # noqa: BLE001  (no names, or unreadable ones; the dates are still useful)
        names = []
    return CertificateFacts(tuple(names), parsed.not_valid_before_utc, parsed.not_valid_after_utc)
