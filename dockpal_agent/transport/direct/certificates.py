"""The certificate of direct mode: one directory with `agent.crt` and `agent.key`, made where they are missing.

ECDSA P-256, self-signed, 365 days, made by the `openssl` program (`issuing.py`). Order of writing, and what a kill
leaves:

1. `agent.key` is written whole, where there is none. A key without a certificate: the next start makes one for it.
2. `made.json` learns the fingerprint of the certificate to come. A kill here leaves one name too many in it: harmless.
3. `agent.crt` is written whole. This is the commit point.

A renewal keeps the key and does 2 and 3, so the two files belong together at every moment. A certificate whose
fingerprint is not in `made.json` was put there by the user: it is used as it is, and never written over.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import re
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Optional

from dockpal_agent.storage import make_private_directory, read_json, write_atomic, write_json
from dockpal_agent.transport.direct.der import not_after
from dockpal_agent.transport.direct.issuing import IssuingError, host_names, issue, new_key

__all__ = ["Certificate", "CertificateError"]

log = logging.getLogger(__name__)

DAYS: Final = 365
RENEW_AHEAD: Final = 30 * 86400.0  # seconds before its end at which ours is renewed
REMEMBERED: Final = 16  # fingerprints in made.json

CERTIFICATE: Final = "agent.crt"
KEY: Final = "agent.key"
MADE: Final = "made.json"
UNUSABLE: Final = ".unusable"  # what cannot be read is set aside under this suffix, not thrown away

_PEM: Final = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)


class CertificateError(Exception):
    """No certificate can be had; the text says what to do."""


@dataclass(frozen=True)
class Certificate:
    """A certificate whose key fits. `expires` is Unix seconds, `fingerprint` the SHA-256 of its DER in hex."""

    directory: Path
    fingerprint: str
    expires: float
    ours: bool

    @classmethod
    def load(cls, directory: Path) -> Certificate:
        """Read what is there, writing nothing. Raises CertificateError."""
        path = directory / CERTIFICATE
        der = _read_der(path)
        try:
            expires = not_after(der)
        except ValueError as error:
            raise CertificateError(f"{path} is not a certificate: {error}") from error
        fingerprint = hashlib.sha256(der).hexdigest()
        certificate = cls(directory, fingerprint, expires, fingerprint in _made(directory))
        certificate.serve(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
        return certificate

    @classmethod
    def load_or_create(
        cls, directory: Path, *, names: Optional[Sequence[str]] = None, now: Optional[float] = None
    ) -> Certificate:
        """Read the certificate; make one where it is missing, and a new one where ours is broken or ends soon.

        `names` are host names and addresses to put into it, those of this host if not given. Raises CertificateError.
        """
        moment = time.time() if now is None else now
        if not (directory / CERTIFICATE).exists():
            return _make(directory, names)
        try:
            certificate = cls.load(directory)
        except CertificateError as error:
            if not _may_mend(directory):
                raise
            log.warning("certificate: %s; a new one is made", error)
            return _make(directory, names)
        if certificate.ours and certificate.expires - moment < RENEW_AHEAD:
            log.info("certificate: %d days are left, renewed", (certificate.expires - moment) // 86400)
            return _make(directory, names)
        if certificate.expires < moment:
            log.warning("certificate: %s is past its end, and not ours to renew", directory / CERTIFICATE)
        return certificate

    @property
    def printed(self) -> str:
        """The fingerprint as openssl, browsers and the command `fingerprint` print it."""
        digest = self.fingerprint.upper()
        return ":".join(digest[index : index + 2] for index in range(0, len(digest), 2))

    def serve(self, context: ssl.SSLContext) -> None:
        """Make `context` present this certificate. Raises CertificateError when it and its key cannot be used."""
        try:
            context.load_cert_chain(self.directory / CERTIFICATE, self.directory / KEY, password=_no_password)
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)
            text = f"{CERTIFICATE} and {KEY} in {self.directory} cannot be used together ({reason}); "
            raise CertificateError(text + "put a pair there, or remove both and one is made") from error


def _no_password() -> str:
    raise ValueError("the key is encrypted")  # instead of OpenSSL's question on the terminal


def _read_der(path: Path) -> bytes:
    """The first certificate of the file; the rest is its chain."""
    try:
        match = _PEM.search(path.read_text("ascii", "replace"))
    except OSError as error:
        raise CertificateError(f"{path} cannot be read: {error.strerror}") from error
    if match is not None:
        with contextlib.suppress(ValueError):
            return ssl.PEM_cert_to_DER_cert(match.group())
    raise CertificateError(f"{path} is not a certificate in PEM form")


def _made(directory: Path) -> list[str]:
    """The fingerprints of certificates that we made here, oldest first."""
    try:
        record = read_json(directory / MADE)
    except (OSError, ValueError) as error:
        log.warning("certificate: %s cannot be read: %s", directory / MADE, error)
        return []
    fingerprints = record.get("fingerprints") if isinstance(record, dict) else None
    return [text for text in fingerprints if isinstance(text, str)] if isinstance(fingerprints, list) else []


def _may_mend(directory: Path) -> bool:
    """Whether an unusable pair is ours: we made its certificate, or one before that nobody can read any more."""
    made = _made(directory)
    try:
        return hashlib.sha256(_read_der(directory / CERTIFICATE)).hexdigest() in made
    except CertificateError:
        return bool(made)


def _make(directory: Path, names: Optional[Sequence[str]]) -> Certificate:
    """Make a certificate for the key that is there, and the key too where there is none that works."""
    try:
        make_private_directory(directory)
        pem = _issue(directory, host_names() if names is None else names)
        fingerprint = hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()
        write_json(directory / MADE, {"fingerprints": [*_made(directory), fingerprint][-REMEMBERED:]})
        _set_aside_if_unreadable(directory / CERTIFICATE)
        write_atomic(directory / CERTIFICATE, pem, mode=0o644)
    except (OSError, IssuingError) as error:
        text = f"no certificate can be made in {directory}: {error}"
        raise CertificateError(text + "; DOCKPAL_TLS_CERT_DIR and DOCKPAL_DATA_DIR move it") from error
    return Certificate.load(directory)


def _issue(directory: Path, names: Sequence[str]) -> str:
    key = directory / KEY
    if key.exists():
        try:
            return issue(key, names, DAYS)
        except IssuingError as error:
            log.warning("certificate: %s is set aside, as it cannot be used: %s", key, error)
            os.replace(key, key.with_name(key.name + UNUSABLE))
    write_atomic(key, new_key(), mode=0o600)
    return issue(key, names, DAYS)


def _set_aside_if_unreadable(path: Path) -> None:
    if path.exists():
        try:
            _read_der(path)
        except CertificateError:
            os.replace(path, path.with_name(path.name + UNUSABLE))
