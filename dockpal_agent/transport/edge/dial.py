"""From an address to an open WebSocket, step by step: name, TCP, proxy, TLS, opening handshake.

Each step is a function, so that `doctor` can take them one by one. Each error is one line that names the remedy.
"""

from __future__ import annotations

import base64
import errno
import re
import socket
import ssl
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http.cookies import CookieError
from pathlib import Path
from typing import Any, Callable, Final, Optional

from websocket import WebSocketBadStatusException, WebSocketException

from dockpal_agent.transport.edge.address import Address
from dockpal_agent.transport.edge.certificate import describe
from dockpal_agent.transport.edge.connection import Connection, FrameSocket
from dockpal_agent.transport.edge.errors import (
    NameNotFound,
    NotTrusted,
    PlainHttp,
    ProxyFailed,
    RateLimited,
    TlsFailed,
    Unreachable,
    UpgradeRefused,
)
from dockpal_agent.transport.edge.proxy import Proxy, proxy_for
from dockpal_agent.transport.edge.wire import Wire

__all__ = ["Resolved", "Trust", "connect", "dial", "named_by", "resolve", "secure", "tunnel", "upgrade"]

HEADER_LIMIT: Final = 65536  # bytes of an answer to the opening handshake, body included
TUNNEL_LIMIT: Final = 16384  # bytes of a proxy's answer
_NO_TLS: Final = "is it the Server's TLS port? (plain HTTP is ws://)"
_STATUS_LINE: Final = re.compile(rb"HTTP/1\.[01] ([0-9]{3})\b([^\r\n]*)")
_NO_HANDSHAKE: Final = (WebSocketException, OSError, ValueError, IndexError, CookieError)  # what no HTTP makes it raise
_HOSTNAME_MISMATCH: Final = frozenset({62, 64})  # X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH
_DATES: Final = frozenset({9, 10})  # X509_V_ERR_CERT_NOT_YET_VALID, X509_V_ERR_CERT_HAS_EXPIRED

Resolved = Sequence[tuple[Any, ...]]  # what getaddrinfo gives
Watcher = Callable[[socket.socket], None]  # told of each socket, so that another thread can shut it down


@dataclass(frozen=True)
class Trust:
    """Whom to trust: the authorities in `ca_file`, the system's where it is None, or anybody."""

    ca_file: Optional[Path] = None
    verify: bool = True


def dial(
    address: Address,
    trust: Trust,
    environ: Mapping[str, str],
    *,
    within: float,
    patience: float,
    agent: str = "",
    watch: Watcher = lambda _: None,
) -> Connection:
    """Open the line. `within` is seconds for all of it, `patience` seconds without progress afterwards.

    Never falls back from TLS to plain. Raises the errors of `edge.errors`.
    """
    until = time.monotonic() + within
    proxy = proxy_for(address, environ)
    sock = _reach(address, proxy, until, watch)
    try:
        if address.secure:
            sock = secure(sock, address, trust, until, reach_again=lambda: _reach(address, proxy, until, watch))
            watch(sock)
        return upgrade(sock, address, until, patience=patience, agent=agent)
    except BaseException:
        sock.close()
        raise


def _reach(address: Address, proxy: Optional[Proxy], until: float, watch: Watcher) -> socket.socket:
    if proxy is None:
        return connect(resolve(address.host, address.port), until, watch)
    sock = connect(resolve(proxy.host, proxy.port, proxy.variable), until, watch, named_by(proxy))
    try:
        tunnel(sock, address, proxy, until)
    except BaseException:
        sock.close()
        raise
    return sock


def named_by(proxy: Optional[Proxy]) -> str:
    """Who is connected to, for messages."""
    return "the Server" if proxy is None else f"the proxy of {proxy.variable}"


def resolve(host: str, port: int, variable: str = "DOCKPAL_EDGE_SERVER") -> Resolved:
    """The addresses of `host`, which `variable` names, in the system's order. The resolver has its own time limit.

    Raises NameNotFound.
    """
    try:
        # As bytes: the idna codec that a str goes through would load a megabyte of tables.
        return socket.getaddrinfo(host.encode("ascii"), port, 0, socket.SOCK_STREAM)
    except OSError as error:  # gaierror; a plain one where the resolver itself failed (EAI_SYSTEM: no descriptor left)
        text = f"the name {host} was not found ({error.strerror}): check {variable} and this host's DNS"
        raise NameNotFound(text) from error


def connect(
    addresses: Resolved, until: float, watch: Watcher = lambda _: None, peer: str = "the Server"
) -> socket.socket:
    """A TCP connection to the first address that takes one, each getting its share of the time. Raises Unreachable."""
    failures: list[str] = []
    for index, (family, kind, protocol, _, target) in enumerate(addresses):
        share = max((until - time.monotonic()) / (len(addresses) - index), 0.05)
        try:
            sock = socket.socket(family, kind, protocol)
        except OSError as error:
            failures.append(f"{target[0]} port {target[1]}: {error.strerror}")  # IPv6 switched off
            continue
        watch(sock)
        try:
            sock.settimeout(share)
            sock.connect(target)
        except OSError as error:
            sock.close()
            failures.append(f"{target[0]} port {target[1]}: {_why(error, peer)}")
            continue
        _keep_alive(sock)
        return sock
    raise Unreachable("; ".join(dict.fromkeys(failures)) or "the name has no address")


def _keep_alive(sock: socket.socket) -> None:
    """TCP's own probes, beside ours: routers forget quiet connections, and the Server never pings."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)


def _why(error: OSError, peer: str = "the Server") -> str:
    if isinstance(error, (TimeoutError, socket.timeout)):  # two classes on 3.9
        return "no answer: a firewall may drop the packets"
    if error.errno == errno.ECONNREFUSED:
        return f"connection refused: {peer} does not run there, or listens on another port"
    return error.strerror or str(error)


def tunnel(sock: socket.socket, address: Address, proxy: Proxy, until: float) -> None:
    """Ask an HTTP proxy for a tunnel (RFC 9110 section 9.3.6). Raises ProxyFailed."""
    host = f"[{address.host}]" if ":" in address.host else address.host
    lines = [f"CONNECT {host}:{address.port} HTTP/1.1", f"Host: {host}:{address.port}"]
    if proxy.credentials:
        lines.append("Proxy-Authorization: Basic " + base64.b64encode(proxy.credentials.encode()).decode("ascii"))
    name = f"the proxy {proxy.host}:{proxy.port}"
    try:
        sock.settimeout(max(until - time.monotonic(), 0.05))
        sock.sendall(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))
        head = _head(sock, until)
    except OSError as error:
        raise ProxyFailed(
            f"{name} did not answer ({_why(error)}): check {proxy.variable}, or name the Server in NO_PROXY"
        ) from error
    match = _STATUS_LINE.match(head)
    status = match.group(1).decode() if match else "something that is not HTTP"
    if status == "407":
        if proxy.credentials:
            raise ProxyFailed(f"{name} does not take the user and password of {proxy.variable}")
        raise ProxyFailed(f"{name} wants credentials: write {proxy.variable} as http://user:password@host:port")
    if status != "200":
        raise ProxyFailed(
            f"{name} refused to connect to {address.authority} ({status}): allow it there, or use NO_PROXY"
        )


def _head(sock: socket.socket, until: float) -> bytes:
    """A proxy's answer up to the empty line, byte by byte: what follows belongs to the tunnel."""
    head = bytearray()
    while not head.endswith(b"\r\n\r\n") and len(head) < TUNNEL_LIMIT:
        sock.settimeout(max(until - time.monotonic(), 0.05))
        part = sock.recv(1)
        if not part:
            break
        head += part
    return bytes(head)


def secure(
    sock: socket.socket,
    address: Address,
    trust: Trust,
    until: float,
    reach_again: Optional[Callable[[], socket.socket]] = None,
) -> ssl.SSLSocket:
    """Put TLS over `sock`, which is closed on failure. `reach_again` makes a second connection, only to learn whose
    certificate was not trusted. Raises NotTrusted, PlainHttp, TlsFailed.
    """
    context = _context(trust)
    try:
        return _handshake(context, sock, address, until)
    except ssl.SSLCertVerificationError as error:
        whose = _whose(address, until, reach_again)
        raise NotTrusted(_distrust(error, address, whose)) from error
    except ssl.SSLError as error:
        if _speaks_http(error):
            plain = address.base.replace("wss://", "ws://")
            text = f"this is plain HTTP: use {plain} if the way to the Server is trusted, or the Server's TLS port"
            raise PlainHttp(text) from error
        reason = error.reason or error.strerror or str(error)
        raise TlsFailed(f"TLS with {address.authority} failed: {reason}; {_NO_TLS}") from error
    except OSError as error:
        raise TlsFailed(f"TLS with {address.authority} broke off: {_why(error)}; {_NO_TLS}") from error


def _context(trust: Trust) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if not trust.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    if trust.ca_file is None:
        context.load_default_certs()
        return context
    try:
        context.load_verify_locations(cafile=trust.ca_file)
    except (OSError, ValueError) as error:  # SSLError is an OSError
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)
        text = f"DOCKPAL_EDGE_CA_FILE {trust.ca_file} cannot be used ({reason}): it must hold certificates in PEM"
        raise NotTrusted(text) from error
    return context


def _handshake(context: ssl.SSLContext, sock: socket.socket, address: Address, until: float) -> ssl.SSLSocket:
    sock.settimeout(max(until - time.monotonic(), 0.05))
    name: Any = address.host.encode("ascii")  # as bytes for the same reason as in resolve
    try:
        return context.wrap_socket(sock, server_hostname=name)
    except BaseException:
        sock.close()
        raise


def _whose(address: Address, until: float, reach_again: Optional[Callable[[], socket.socket]]) -> str:
    """The certificate that the Server shows, for the message; nothing is sent over this connection."""
    if reach_again is None:
        return "its certificate"
    try:
        with _handshake(_context(Trust(verify=False)), reach_again(), address, until) as shown:
            return describe(shown.getpeercert(binary_form=True) or b"")
    except (OSError, Unreachable, NameNotFound, ProxyFailed):
        return "its certificate"  # it is gone again; the first error is the one to tell


def _distrust(error: ssl.SSLCertVerificationError, address: Address, whose: str) -> str:
    what = f"the certificate of {address.authority} is not trusted: {whose}: {error.verify_message}"
    if error.verify_code in _HOSTNAME_MISMATCH:
        return f"{what}; use the name that the certificate is for in DOCKPAL_EDGE_SERVER"
    if error.verify_code in _DATES:
        return f"{what}; renew it at the Server, and check this host's clock"
    return f"{what}; put the authority that issued it into DOCKPAL_EDGE_CA_FILE (for a self-signed one, itself)"


def _speaks_http(error: ssl.SSLError) -> bool:
    """OpenSSL takes the `HTTP/1.` of an answer for a record's version (3.x), or names it (http request)."""
    return (error.reason or "") in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE")


def upgrade(sock: socket.socket, address: Address, until: float, *, patience: float, agent: str = "") -> Connection:
    """The opening handshake (RFC 6455 section 4.1). Raises UpgradeRefused, RateLimited; `sock` is closed on failure."""
    wire = Wire(sock, patience)
    wire.read_by, wire.budget = until, HEADER_LIMIT
    frames = FrameSocket()
    try:
        status, fields = frames.shake_hands(
            wire, address.url, host=address.authority, origin=address.origin, agent=agent
        )
    except WebSocketBadStatusException as error:
        wire.release()
        raise _refusal(error.status_code or 0, error.resp_headers or {}, error.resp_body, address) from error
    except _NO_HANDSHAKE as error:
        wire.release()
        raise UpgradeRefused(_no_websocket(error, address), 0) from error
    if status != 101:
        wire.release()
        raise _refusal(status, fields, None, address)
    wire.read_by = wire.budget = None
    return Connection(frames, wire)


def _no_websocket(error: Exception, address: Address) -> str:
    if isinstance(error, ssl.SSLError):
        return f"TLS with {address.authority} ended during the opening handshake: {error.reason or error}"
    text = str(error) or type(error).__name__
    return (
        f"{address.base} did not answer the opening handshake as a WebSocket ({text[:100]}): check the port,"
        " and that a proxy in between passes the fields Upgrade and Connection on"
    )


def _refusal(status: int, headers: Mapping[str, str], body: Optional[bytes], address: Address) -> UpgradeRefused:
    seconds = _retry_after(headers.get("retry-after", ""))
    if status == 429:
        wait = "later" if seconds is None else f"in {seconds:g} s"
        return RateLimited(
            f"the Server takes 5 tries a minute from one address, shared by all agents behind it (429): trying {wait}",
            seconds,
        )
    return UpgradeRefused(_refused(status, headers, body, address), status, seconds)


def _refused(status: int, headers: Mapping[str, str], body: Optional[bytes], address: Address) -> str:
    """What a status other than 101 and 429 means, and what to do."""
    if status == 403:
        return (
            f"the Server refused the upgrade (403): Origin {address.origin} must match the Host it sees; a reverse"
            " proxy in front of it must pass the Host field on (nginx: proxy_set_header Host $http_host)"
        )
    said = (body or b"")[:200].decode("utf-8", "replace").strip()
    said = f": {' '.join(said.split())}" if said else ""
    if status == 400 and "HTTPS server" in said:
        return f"the Server speaks TLS on this port: use {address.base.replace('ws://', 'wss://')}"
    if status in (301, 302, 303, 307, 308):
        to = headers.get("location", "")[:200]
        return f"the Server redirects ({status}) to {to}: write that address into DOCKPAL_EDGE_SERVER"
    if status == 404:
        return f"there is no {address.path} at {address.base} (404): is this the DockPal Server?"
    return f"{address.base} refused the upgrade with status {status}{said}"


def _retry_after(text: str) -> Optional[float]:
    """Seconds of a Retry-After field (RFC 9110 section 10.2.3), a number or a date; None when unreadable."""
    if text.isascii() and text.isdigit() and len(text) < 10:
        return float(text)
    from email.utils import mktime_tz, parsedate_tz  # rare, and not small

    date = parsedate_tz(text)
    return None if date is None else max(0.0, mktime_tz(date) - time.time())
