"""Certificates for tests of TLS, made by the openssl program: an authority, and what it signed for loopback."""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path

__all__ = ["Authority", "context"]


class Authority:
    """A private authority in a folder. `issue` gives the paths of a certificate and its key."""

    def __init__(self, folder: Path, name: str = "Test Authority") -> None:
        self._folder = folder
        self.certificate = folder / "ca.crt"
        self._key = folder / "ca.key"
        _openssl("req", "-utf8", "-x509", *_new_key(self._key), "-out", str(self.certificate), "-days", "2", "-subj",
                 f"/CN={name}", "-addext", "basicConstraints=critical,CA:TRUE")  # fmt: skip

    def issue(
        self, name: str, *, names: str = "DNS:localhost,IP:127.0.0.1,IP:::1", days: str = "2"
    ) -> tuple[Path, Path]:
        request, key, certificate = (self._folder / f"{name}.{kind}" for kind in ("csr", "key", "crt"))
        extensions = self._folder / f"{name}.ext"
        extensions.write_text(f"subjectAltName={names}\n")
        _openssl("req", *_new_key(key), "-out", str(request), "-subj", f"/CN={name}")
        _openssl("x509", "-req", "-in", str(request), "-CA", str(self.certificate), "-CAkey", str(self._key),
                 "-CAcreateserial", "-out", str(certificate), "-days", days, "-extfile", str(extensions))  # fmt: skip
        return certificate, key


def context(certificate: Path, key: Path) -> ssl.SSLContext:
    """A server's TLS settings."""
    found = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    found.load_cert_chain(certificate, key)
    return found


def _new_key(path: Path) -> list[str]:
    return ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", str(path)]


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True, timeout=30)
