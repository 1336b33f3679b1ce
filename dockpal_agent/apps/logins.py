"""The host's own registry credentials for what runs unattended: read from their file when needed, never kept."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Optional

from dockpal_agent.images.credentials import for_reference
from dockpal_agent.images.errors import InvalidCredentials
from dockpal_agent.images.login_file import read_login_file
from dockpal_agent.images.references import Reference

__all__ = ["VARIABLE", "Logins"]

log = logging.getLogger(__name__)

VARIABLE: Final = "DOCKPAL_REGISTRY_AUTH_FILE"


class Logins:
    """The file that DOCKPAL_REGISTRY_AUTH_FILE names, if it names one."""

    def __init__(self, path: Optional[Path]) -> None:
        self._path: Final = path
        self._lock = threading.Lock()  # guards _trouble
        self._trouble = ""

    def read(self) -> Mapping[str, Any]:
        """{registry: credentials} for images.credentials.for_reference.

        A file that cannot be used counts as one without credentials, as public images need none: it is logged when that
        begins, and each time the reason changes.
        """
        if self._path is None:
            return {}
        try:
            found: Mapping[str, Any] = read_login_file(self._path)
        except InvalidCredentials as error:
            self._note(str(error))
            return {}
        self._note("")
        return found

    def auth_for(self, reference: Reference) -> Optional[str]:
        """The X-Registry-Auth value for an image, None where the file has none for it.

        Raises InvalidCredentials where a credential helper has them.
        """
        return for_reference(self.read(), reference)

    def advice(self, reference: Reference) -> str:
        """What the user can do when a registry refuses an image of theirs."""
        if self._path is None:
            return f"name a Docker config.json with credentials for {reference.domain} in {VARIABLE}"
        with self._lock:
            trouble = self._trouble
        if trouble:
            return f"{VARIABLE}: {trouble}"
        return f"look at the credentials for {reference.domain} in {self._path} ({VARIABLE})"

    def _note(self, trouble: str) -> None:
        with self._lock:
            changed = trouble != self._trouble
            self._trouble = trouble
        if changed and trouble:
            log.warning("%s: %s", VARIABLE, trouble)
        elif changed:
            log.info("%s: %s can be read again", VARIABLE, self._path)
