"""One line an event on stderr, as text or JSON; what is secret never gets there.

Modules log through `logging.getLogger(__name__)`, subject first: `container web: replaced`.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
import time
from collections.abc import Iterable
from typing import Final, TextIO

__all__ = ["LEVELS", "hide", "setup"]

LEVELS: Final = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_SECRETS: set[str] = set()  # guarded by _LOCK; the token in its forms, registry passwords while they are in use
_LOCK: Final = threading.Lock()


def hide(secrets: Iterable[str]) -> None:
    """Replace these texts by `***` in every line from now on. Texts below 6 characters would blacken ordinary words."""
    with _LOCK:
        _SECRETS.update(secret for secret in secrets if len(secret) >= 6)


def _clean(text: str) -> str:
    with _LOCK:
        secrets = sorted(_SECRETS, key=len, reverse=True)
    for secret in secrets:
        text = text.replace(secret, "***")
    return text


def _one_line(text: str) -> str:
    if "\n" not in text and "\r" not in text:
        return text
    return text.replace("\\", "\\\\").replace("\r", "\\r").replace("\n", "\\n")


class TextFormatter(logging.Formatter):
    """`2026-01-31T12:00:00Z info  transport.direct: listening on …`; line breaks inside are written as \\n."""

    def format(self, record: logging.LogRecord) -> str:
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created))
        text = record.getMessage()
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        return f"{stamp} {record.levelname.lower():<7} {_room(record)}: {_one_line(_clean(text))}"


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, and `trace` where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": _room(record),
            "message": _clean(record.getMessage()),  # before JSON escapes what it finds in a secret
        }
        if record.exc_info:
            entry["trace"] = _clean(self.formatException(record.exc_info))
        return json.dumps(entry)


def _room(record: logging.LogRecord) -> str:
    return record.name[len("dockpal_agent.") :] if record.name.startswith("dockpal_agent.") else record.name


def setup(level: str, form: str, stream: TextIO = sys.stderr) -> None:
    """Send all logging to `stream`. `level` is a key of LEVELS, `form` text or json."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(LEVELS[level])
    logging.getLogger("urllib3").setLevel(logging.WARNING)  # its debug lines print paths with their query
    logging.raiseExceptions = False  # a closed stderr must not bring down the thread that logs
