"""Keeps the certificate fresh while serving: ours is renewed in time, one that the user puts there is taken up."""

from __future__ import annotations

import logging
import ssl
import threading
from typing import Final, Optional

from dockpal_agent.transport.direct.certificates import Certificate, CertificateError

__all__ = ["Renewal", "server_context"]

log = logging.getLogger(__name__)

EVERY: Final = 600.0  # seconds between looks


def server_context(certificate: Certificate) -> ssl.SSLContext:
    """A context of TLS 1.2 and up that presents `certificate`. Raises CertificateError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    # The Server never resumes (a new client for each call, protocol 1.1). Tickets sent after the handshake would only
    # be more bytes, and reset the connection of a client that closes without having read them.
    context.num_tickets = 0
    certificate.serve(context)
    return context


class Renewal:
    """Owns the thread that looks after the certificate, and the context for the next handshake.

    A new certificate comes as a new context, in one assignment: a handshake sees the old pair or the new one, and
    connections that are open keep theirs.
    """

    def __init__(self, certificate: Certificate, *, every: float = EVERY) -> None:
        self.certificate = certificate
        self.context = server_context(certificate)
        self._every = every
        self._stop = threading.Event()
        self._thread: Optional[threading.Thread] = None
        self._told = ""  # the last failure, which is not said again at every look

    def start(self) -> None:
        """Look after it from now on."""
        self._thread = threading.Thread(target=self._run, name="direct-certificate", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread; it waits for a running openssl, which has its own limit."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(5.0)

    def look(self) -> None:
        """Renew, or take up what lies there, if it is another one; what cannot be used leaves things as they are."""
        try:
            found = Certificate.load_or_create(self.certificate.directory)
            if found.fingerprint != self.certificate.fingerprint:
                self.context = server_context(found)
                self.certificate = found
                log.info("certificate: now sha256 %s", found.printed)
            self._told = ""
        except CertificateError as error:
            if str(error) != self._told:
                self._told = str(error)
                log.warning("certificate: %s; the one in use stays", error)

    def _run(self) -> None:
        while not self._stop.wait(self._every):
            self.look()
