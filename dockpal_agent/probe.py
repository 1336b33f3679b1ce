"""`healthcheck` and `fingerprint`: small programs beside the agent, which load as little as they can.

A container runtime calls healthcheck every 30 s or so; it must neither cost the host much nor hang.
"""

from __future__ import annotations

import http.client
import socket
import ssl
from pathlib import Path
from typing import Final, NamedTuple, Optional

from dockpal_agent.config import Config, Listen

__all__ = ["Health", "direct_health", "fingerprint"]

WITHIN: Final = 8.0  # seconds; above what ping itself waits for the daemon


class Health(NamedTuple):
    """Whether the agent serves, and one line that says how it knows."""

    ok: bool
    text: str


def direct_health(config: Config) -> Health:
    """Ask the local agent's /agent/ping with the scheme and port of `config`; its certificate is not verified."""
    host, port = _local(config.direct_listen)
    scheme = "https" if config.direct_tls else "http"
    where = f"{scheme}://{'[' + host + ']' if ':' in host else host}:{port}/agent/ping"
    connection: http.client.HTTPConnection
    if config.direct_tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        connection = http.client.HTTPSConnection(host, port, timeout=WITHIN, context=context)
    else:
        connection = http.client.HTTPConnection(host, port, timeout=WITHIN)
    try:
        connection.request("GET", "/agent/ping", headers={"Connection": "close"})
        answer = connection.getresponse()
        body = answer.read(4096).decode("utf-8", "replace")
    except (OSError, http.client.HTTPException) as error:
        return Health(False, f"{where}: {_reason(error)}")
    finally:
        connection.close()
    return Health(answer.status == 200, f"{where}: {answer.status} {body.strip()}")


def _local(listen: Listen) -> Listen:
    """Where a listener is reached from its own host."""
    if listen.host in ("", "0.0.0.0"):
        return Listen("127.0.0.1", listen.port)
    return Listen("::1", listen.port) if listen.host == "::" else listen


def _reason(error: Exception) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "refused: no agent listens there"
    if isinstance(error, (socket.timeout, TimeoutError)):
        return f"no answer within {WITHIN:g} s"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed ({error.reason or error}): is DOCKPAL_DIRECT_TLS here what it is for the agent?"
    return str(error) or type(error).__name__


def fingerprint(directory: Path) -> Optional[str]:
    """SHA-256 of agent.crt in `directory` (DER), as `AB:CD:…` like openssl prints it; None when there is none.

    Raises OSError when it cannot be read, ValueError when it is not a certificate.
    """
    import hashlib

    try:
        text = (directory / "agent.crt").read_text(encoding="ascii")
    except FileNotFoundError:
        return None
    end = "-----END CERTIFICATE-----"
    first = text[text.find("-----BEGIN CERTIFICATE-----") : text.find(end) + len(end)]
    digest = hashlib.sha256(ssl.PEM_cert_to_DER_cert(first)).hexdigest().upper()
    return ":".join(digest[index : index + 2] for index in range(0, len(digest), 2))
