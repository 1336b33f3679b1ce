"""Why there is no line: one class for each cause that asks something different of the reader or of the backoff.

    LineError
    ├── NameNotFound            the name has no address
    ├── Unreachable             refused, no route, no answer in time
    ├── ProxyFailed             the proxy of HTTPS_PROXY or HTTP_PROXY did not connect us
    ├── NotTrusted              the certificate is not one that we may trust
    ├── TlsFailed               TLS failed otherwise; PlainHttp where the Server speaks none
    ├── UpgradeRefused          an HTTP status instead of 101; RateLimited for 429
    ├── TokenRefused            close code 4001
    ├── ClosedEarly             closed at once without a code: the Server still holds the old line
    ├── LineSilent              no pong, or nothing could be written
    └── LineLost                closed or cut in any other way

`str(error)` is one line that says what happened and what to do.
"""

from __future__ import annotations

from typing import Optional

__all__ = [
    "ClosedEarly",
    "LineError",
    "LineLost",
    "LineSilent",
    "NameNotFound",
    "NotTrusted",
    "PlainHttp",
    "ProxyFailed",
    "RateLimited",
    "TlsFailed",
    "TokenRefused",
    "Unreachable",
    "UpgradeRefused",
]


class LineError(Exception):
    """The line could not be made, or has ended. `slow` asks for the long delay; `retry_after` is seconds, if told.

    `code` is the close code (RFC 6455 section 7.4), None where there was no close frame (1006 in other words).
    """

    slow = False
    code: Optional[int] = None
    retry_after: Optional[float] = None


class NameNotFound(LineError):
    """The name of the Server (or of the proxy) was not resolved."""


class Unreachable(LineError):
    """No TCP connection."""


class ProxyFailed(LineError):
    """The proxy refused to connect us, or spoke no HTTP."""


class TlsFailed(LineError):
    """The TLS handshake failed for another reason than trust."""


class PlainHttp(TlsFailed):
    """TLS was asked for where plain HTTP is spoken. There is no falling back: the token would be readable."""


class NotTrusted(TlsFailed):
    """The certificate was not issued by an authority we know, not for this name, or not for this time."""


class UpgradeRefused(LineError):
    """The opening handshake was answered by something else than 101 (RFC 6455 section 4.1). `status` 0: not by HTTP."""

    def __init__(self, message: str, status: int, retry_after: Optional[float] = None) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after


class RateLimited(UpgradeRefused):
    """429: too many upgrades from this address within a minute."""

    def __init__(self, message: str, retry_after: Optional[float]) -> None:
        super().__init__(message, 429, retry_after)


class TokenRefused(LineError):
    """4001: the token is wrong, or came too late. It may heal (a rotation, a restore): go on, slowly."""

    slow = True
    code = 4001


class LineLost(LineError):
    """The line has ended."""

    def __init__(self, message: str, code: Optional[int] = None) -> None:
        super().__init__(message)
        self.code = code


class ClosedEarly(LineLost):
    """Closed within moments of opening, without a request and without a code."""


class LineSilent(LineError):
    """Nothing was heard for two heartbeat intervals, or nothing could be written for as long."""
