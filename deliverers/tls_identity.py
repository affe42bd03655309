"""The TLS identity of connections: a client certificate, and the authorities that are trusted in place of the usual."""

from __future__ import annotations

import os
import ssl
import tempfile
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from pydantic import SecretStr

#: Contexts that are kept; beyond that, the least recently used one is dropped. Each may hold all of the system's
#: authorities, about 1 MiB.
MOST_CONTEXTS = 100


@dataclass(frozen=True)
class TlsIdentity:
    """What an integration presents, and whom it trusts; empty texts mean none, and the usual authorities.

    Connections are shared only by requests with equal identities.
    """

    certificate: str
    key: SecretStr
    authorities: str

    def __repr__(self) -> str:
        return "TlsIdentity(********)"

    def apply(self, context: ssl.SSLContext) -> None:
        """Have a context present the certificate. Raises OSError, of which ssl.SSLError is one."""
        if self.certificate:
            with _readable(f"{self.key.get_secret_value()}\n{self.certificate}".encode()) as path:
                context.load_cert_chain(path)


class IdentityContexts:
    """The contexts of identities, the least recently used first."""

    def __init__(self, most: int = MOST_CONTEXTS) -> None:
        self._most = most
        self._contexts: OrderedDict[TlsIdentity, ssl.SSLContext] = OrderedDict()

    def get(self, identity: TlsIdentity) -> ssl.SSLContext | None:
        """Return the context of an identity, if it is kept."""
        found = self._contexts.get(identity)
        if found is not None:
            self._contexts.move_to_end(identity)
        return found

    def keep(self, identity: TlsIdentity, context: ssl.SSLContext) -> TlsIdentity | None:
        """Keep a context; return the identity whose context was dropped for it."""
        self._contexts[identity] = context
        return self._contexts.popitem(last=False)[0] if len(self._contexts) > self._most else None


@contextmanager
def _readable(content: bytes) -> Iterator[str]:
    """Yield the path of a file with the content, as OpenSSL reads keys from files alone; of one in memory on Linux."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("edw-tls-identity")
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            yield f"/proc/self/fd/{descriptor}"
        return
    with tempfile.NamedTemporaryFile() as file:  # its mode is 0600
        file.write(content)
        file.flush()
        yield file.name
