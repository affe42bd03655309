"""A certificate authority of the tests' own, and a server's certificate in the forms that servers read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import pkcs12

#: Of a keystore, which Java wants to have one.
KEYSTORE_PASSWORD = "changeit"


@dataclass(frozen=True, slots=True)
class ServerFiles:
    """Files of one server that is trusted by those who trust `ca`. Its certificate is for `localhost` alone."""

    folder: Path

    @classmethod
    def make(cls, folder: Path) -> ServerFiles:
        """Makes an authority and a certificate, and writes them into a folder."""
        made = cls(folder)
        authority = trustme.CA()
        leaf = authority.issue_cert("localhost")
        authority.cert_pem.write_to_path(str(made.ca))
        leaf.private_key_pem.write_to_path(str(made.key))
        for blob in leaf.cert_chain_pems:
            blob.write_to_path(str(made.certificate), append=True)
        made.keystore.write_bytes(_pkcs12(leaf, authority))
        return made

    @property
    def ca(self) -> Path:
        """Who is to be trusted."""
        return self.folder / "ca.pem"

    @property
    def certificate(self) -> Path:
        """The server's chain."""
        return self.folder / "server.pem"

    @property
    def key(self) -> Path:
        """The server's key."""
        return self.folder / "server.key"

    @property
    def keystore(self) -> Path:
        """Key and chain as PKCS #12, which Java reads."""
        return self.folder / "server.p12"


def _pkcs12(leaf: trustme.LeafCert, authority: trustme.CA) -> bytes:
    key = serialization.load_pem_private_key(leaf.private_key_pem.bytes(), None)
    certificate = x509.load_pem_x509_certificate(leaf.cert_chain_pems[0].bytes())
    issuer = x509.load_pem_x509_certificate(authority.cert_pem.bytes())
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    encryption = serialization.BestAvailableEncryption(KEYSTORE_PASSWORD.encode())
    return pkcs12.serialize_key_and_certificates(b"server", key, certificate, [issuer], encryption)
