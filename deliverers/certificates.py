"""Reasons why a certificate was refused, in words."""

from __future__ import annotations

import ssl
from datetime import datetime

from deliverers.answers import printable
from deliverers.tls import refused_certificates

# X509_V_ERR_* of openssl/x509_vfy.h.
_NOT_YET, _EXPIRED = 9, 10
_WRONG_NAME = frozenset({62, 64})
_UNDATED = {
    **dict.fromkeys((2, 19, 20, 21, 27), "certificate is not signed by a known authority"),
    18: "certificate is self-signed",
    23: "certificate was revoked",
}
_MOST_NAMES = 3


def certificate_reason(error: ssl.SSLCertVerificationError, host: str, now: datetime) -> str:
    """Return why a certificate was refused, with its date or names if known."""
    chain = refused_certificates(error)
    code = error.verify_code
    if code == _EXPIRED:
        date = next((f" on {one.valid_until:%Y-%m-%d}" for one in chain if one.valid_until < now), "")
        return f"certificate expired{date}"
    if code == _NOT_YET:
        date = next((f" before {one.valid_from:%Y-%m-%d}" for one in chain if one.valid_from > now), " yet")
        return f"certificate is not valid{date}"
    if code in _WRONG_NAME:
        names = chain[0].names if chain else ()
        shown = ", ".join(printable(name) for name in names[:_MOST_NAMES]) + (", …" if len(names) > _MOST_NAMES else "")
        return f"certificate is for {shown or 'another host'}, not {host}"
    return _UNDATED.get(code, f"certificate is not valid ({printable(error.verify_message)})")
