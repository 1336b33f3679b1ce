"""Runs the agent: the house with all its parts, and the transport of the mode, until a signal, ended in order."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Sequence
from typing import Final, Protocol

from dockpal_agent import __version__
from dockpal_agent.api.agent import Agent
from dockpal_agent.api.service import Service
from dockpal_agent.config import Config, read
from dockpal_agent.house import StartFailed, house
from dockpal_agent.log import hide
from dockpal_agent.memory import Allocator

__all__ = ["run"]

log = logging.getLogger(__name__)

STACK: Final = 1 << 20  # bytes of each thread's stack; below 512 KiB, nested JSON ends the process
GIVE_BACK_EVERY: Final = 30.0  # seconds between two returns of free memory to the host
GRACE: Final = 8.0  # seconds for running answers at the end
ENDING: Final = 8.0  # seconds for all that ends, one after the other; Docker gives a container 10 s to stop
LEAST: Final = 0.2  # seconds for each that ends, however late it is


class Transport(Protocol):
    """Direct or edge mode."""

    def start(self) -> None:
        """Begin to serve. Raises OSError, or an error of the transport's own, with a text for the user."""

    def stop(self, deadline: float, /) -> object:
        """No new requests; running ones get `deadline` seconds."""


def run(config: Config, warnings: Sequence[str]) -> int:
    """Run until SIGTERM or SIGINT. Returns the exit code."""
    allocator = Allocator()
    threading.stack_size(STACK)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    for warning in warnings:
        log.warning("configuration: %s", warning)
    log.info("dockpal-agent %s starts in %s mode, Docker at %s", __version__, config.mode, config.docker_socket)
    ending = _Ending()
    try:
        with house(config, ending.left) as service:
            transport = _transport(config, service)
            transport.start()
            while not stop.wait(GIVE_BACK_EVERY):
                allocator.give_back()
            log.info("stopping")
            ending.begin()
            service.agent.deploys.part()
            transport.stop(GRACE)
    except StartFailed as failure:
        log.error("the agent cannot start: %s", failure)
        return 1
    log.info("stopped")
    return 0


class _Ending:
    """One deadline for all that ends: the parts of the agent have what the transport before them has left."""

    def __init__(self) -> None:
        self._until = float("inf")

    def begin(self) -> None:
        """The signal has come."""
        self._until = time.monotonic() + ENDING

    def left(self) -> float:
        """Seconds for the next part that ends."""
        return min(ENDING, max(LEAST, self._until - time.monotonic()))


def _transport(config: Config, service: Service[Agent]) -> Transport:
    """The transport of the mode; what the other one needs is not even loaded."""
    return _edge(config, service) if config.mode == "edge" else _Direct(config, service)


class _Direct:
    """HTTPS (or HTTP) on the listen address."""

    def __init__(self, config: Config, service: Service[Agent]) -> None:
        from dockpal_agent.transport.direct.certificates import Certificate, CertificateError
        from dockpal_agent.transport.direct.server import DirectServer

        certificate = None
        if config.direct_tls:
            try:
                certificate = Certificate.load_or_create(config.tls_cert_dir)
            except (CertificateError, OSError) as error:
                raise StartFailed(str(error)) from error
            log.info("certificate: sha256 %s", certificate.printed)
        else:
            log.warning("DOCKPAL_DIRECT_TLS=false: the token and everything else goes over the network unencrypted")
        self._listen = config.direct_listen
        self._server = DirectServer(
            service, [config.direct_listen], tls=certificate, max_connections=config.max_connections
        )

    def start(self) -> None:
        """Listen. Raises StartFailed."""
        try:
            self._server.start()
        except OSError as error:
            raise StartFailed(f"{error}; choose another address with DOCKPAL_DIRECT_LISTEN") from error
        log.info("listening on %s:%d", self._listen.host or "*", self._server.port)

    def stop(self, deadline: float) -> object:
        """Stop listening and let answers end."""
        return self._server.stop(deadline)


def _tokens_now() -> tuple[str, ...]:
    """The forms of the token as DOCKPAL_TOKEN_FILE holds it now; () where it cannot be read."""
    tokens = read(os.environ).config.tokens
    hide(tokens)
    return tokens


def _edge(config: Config, service: Service[Agent]) -> Transport:
    """The line out to the Server."""
    from dockpal_agent.transport.edge.address import Address
    from dockpal_agent.transport.edge.line import EdgeLine, EdgeSettings

    settings = EdgeSettings(
        server=config.edge_server,
        tokens=config.tokens,
        state_dir=config.state_dir,
        version=__version__,
        reconnect=config.edge_reconnect,
        heartbeat=config.edge_heartbeat,
        ca_file=config.edge_ca_file,
        verify=config.edge_tls_verify,
        tokens_now=_tokens_now,
    )
    try:
        address = Address.parse(config.edge_server)
        if not address.secure:
            log.warning("%s: the token and everything else goes over the network unencrypted", address.base)
        return EdgeLine(service, settings)
    except (ValueError, OSError) as error:
        raise StartFailed(f"edge mode: {error}") from error
