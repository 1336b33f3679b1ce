"""Keys and self-signed certificates by the `openssl` program, and the names that go into them.

Each run has a time limit and is waited for; no shell, no file of our own: the key comes over a pipe, the settings go
over one. Works with OpenSSL 1.1.1 and 3.x.
"""

from __future__ import annotations

import contextlib
import ipaddress
import re
import socket
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

__all__ = ["IssuingError", "host_names", "issue", "new_key"]

WITHIN: Final = 30.0  # seconds for one run; it takes 10 ms
NAMES: Final = 48  # alternative names at most: a host with hundreds of bridges needs no certificate for each
COMMON_NAME: Final = 64  # characters: ub-common-name, RFC 5280 appendix A

_HOST_NAME: Final = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,251}[A-Za-z0-9_])?")

# RFC 5280 section 4.2.1: an end entity (CA:FALSE), for TLS servers only
_SETTINGS: Final = """\
[req]
distinguished_name = subject
x509_extensions = extensions
string_mask = utf8only
prompt = no
[subject]
CN = {common_name}
[extensions]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectKeyIdentifier = hash
subjectAltName = {alternative_names}
"""


class IssuingError(Exception):
    """openssl is missing or refused; the text has its words."""


def new_key() -> str:
    """A new ECDSA P-256 key, PEM. Raises IssuingError."""
    options = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-pkeyopt", "ec_param_enc:named_curve"]
    return _openssl(["genpkey", *options])


def issue(key: Path, names: Sequence[str], days: int) -> str:
    """A self-signed certificate for the key in a file, PEM; the first host name is its subject. Raises IssuingError."""
    usable = list(dict.fromkeys(filter(None, map(_alternative, [*names, "localhost", "127.0.0.1", "::1"]))))
    subjects = (name for name in names if _HOST_NAME.fullmatch(name) and len(name) <= COMMON_NAME)
    settings = _SETTINGS.format(common_name=next(subjects, "dockpal-agent"), alternative_names=",".join(usable[:NAMES]))
    options = ["-config", "/dev/stdin", "-key", str(key), "-passin", "pass:", "-sha256", "-days", str(days)]
    return _openssl(["req", "-new", "-x509", *options], settings)


def _alternative(name: str) -> str:
    """A name as subjectAltName has it, "" for what cannot be one."""
    try:
        return f"IP:{ipaddress.ip_address(name)}"
    except ValueError:
        return f"DNS:{name}" if _HOST_NAME.fullmatch(name) else ""


def _openssl(arguments: Sequence[str], settings: str = "") -> str:
    try:
        done = subprocess.run(
            ["openssl", *arguments], input=settings, capture_output=True, text=True, timeout=WITHIN, check=False
        )
    except FileNotFoundError as error:
        text = "the program openssl is missing; install it, or put agent.crt and agent.key there"
        raise IssuingError(text) from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise IssuingError(f"openssl {arguments[0]}: {error}") from error
    if done.returncode != 0 or "-----BEGIN" not in done.stdout:
        words = [line for line in done.stderr.splitlines() if line.strip()]
        raise IssuingError(f"openssl {arguments[0]}: {words[-1] if words else f'exit status {done.returncode}'}")
    return done.stdout


def host_names() -> list[str]:
    """This host's name, then localhost, then its addresses; nothing is asked over the network."""
    addresses = (ipaddress.ip_address(text) for text in (*_addresses_4(), *_addresses_6()))
    lasting = (str(one) for one in addresses if not one.is_link_local and not one.is_loopback)
    return [socket.gethostname(), "localhost", "127.0.0.1", "::1", *lasting]


def _addresses_4() -> Iterator[str]:
    """`/32 host LOCAL` below an address marks it as this host's."""
    previous = ""
    for line in _lines("/proc/net/fib_trie"):
        if line.startswith("/32 host LOCAL"):
            yield previous
        elif line.startswith("|-- "):
            previous = line[4:]


def _addresses_6() -> Iterator[str]:
    for line in _lines("/proc/net/if_inet6"):
        digits = line[:32]
        yield ":".join(digits[start : start + 4] for start in range(0, 32, 4))


def _lines(path: str) -> Iterable[str]:
    with contextlib.suppress(OSError):  # no IPv6, or no /proc: then without these
        return [line.strip() for line in Path(path).read_text("ascii").splitlines()]
    return []
