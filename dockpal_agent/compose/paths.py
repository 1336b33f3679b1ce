"""Relative paths of a file made absolute, and `~` put in.

Compose Specification, paths are relative to the project's directory; compose-go's paths package. No disk is looked at.
"""

from __future__ import annotations

import re
from typing import Callable, Final, Optional

from dockpal_agent.compose.errors import Findings
from dockpal_agent.compose.mounts import clean
from dockpal_agent.compose.tree import Path, Rules, Value, rewrite

__all__ = ["absolute_paths", "join"]

_WINDOWS: Final = re.compile(r".:[\\/]|\\\\|//", re.DOTALL)
_REMOTE: Final = ("https://", "http://", "git://", "ssh://", "github.com/", "git@")


def join(folder: str, path: str) -> str:
    """A path below a folder, cleaned; an absolute one as it is."""
    return path if path.startswith("/") else clean(f"{folder}/{path}")


class _Resolver:
    def __init__(self, folder: str, home: Optional[str], findings: Findings) -> None:
        self._folder = folder
        self._home = home
        self._findings = findings

    def home(self, path: str) -> str:
        """`~` is the home directory that the variables name."""
        if not path.startswith("~"):
            return path
        if self._home is None:
            self._findings.warn("cannot expand '~', because the environment lacks HOME")
            return path
        return clean(f"{self._home}/{path[1:]}")

    def path(self, value: Value, path: Path) -> Value:
        """A path that an empty text leaves out."""
        return join(self._folder, self.home(value)) if isinstance(value, str) and value else value

    def host_path(self, value: Value, path: Path) -> Value:
        """A path on the Docker host, which Compose lets be Windows' too."""
        if not isinstance(value, str):
            return value
        expanded = self.home(value)
        return expanded if _WINDOWS.match(expanded) else join(self._folder, expanded)

    def context(self, value: Value, path: Path) -> Value:
        """A build context: a path, unless it is a URL or another service."""
        if not isinstance(value, str) or "://" in value or value.startswith(("service:", *_REMOTE)):
            return value
        return self.path(value, path)

    def mount(self, value: Value, path: Path) -> Value:
        """The source of a bind."""
        if not isinstance(value, dict) or value.get("type") != "bind":
            return value
        if "source" not in value:
            self._findings.problem('invalid mount config for type "bind": field Source must not be empty', path)
            return value
        return {**value, "source": self.host_path(value["source"], path)}

    def volume(self, value: Value, path: Path) -> Value:
        """A volume of the local driver that is a bind in fact."""
        options = value.get("driver_opts") if isinstance(value, dict) else None
        if not isinstance(options, dict) or value.get("driver") != "local" or options.get("o") != "bind":
            return value
        device = {"device": self.host_path(options["device"], path)} if "device" in options else {}
        return {**value, "driver_opts": {**options, **device}}


def absolute_paths(tree: Value, folder: str, home: Optional[str], findings: Findings) -> Value:
    """The tree with every path absolute: relative to `folder`, the project's directory."""
    resolver = _Resolver(folder, home, findings)
    rules: dict[str, Callable[[Value, Path], Value]] = {
        "services.*.build.context": resolver.context,
        "services.*.build.additional_contexts.*": resolver.context,
        "services.*.build.ssh.*": resolver.host_path,
        "services.*.env_file.*.path": resolver.path,
        "services.*.label_file.*": resolver.path,
        "services.*.extends.file": resolver.path,
        "services.*.develop.watch.*.path": resolver.path,
        "services.*.volumes.*": resolver.mount,
        "configs.*.file": resolver.host_path,
        "secrets.*.file": resolver.host_path,
        "volumes.*": resolver.volume,
    }
    return rewrite(tree, Rules(rules))
