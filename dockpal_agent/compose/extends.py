"""`extends`: a service that begins as a copy of another, of the same file or of a second one.

Compose Specification, Extend. What the service itself says is merged over the copy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Callable, Final, Optional

from dockpal_agent.compose.errors import ComposeInvalid, Findings, Problem
from dockpal_agent.compose.merge import Merge, forget
from dockpal_agent.compose.tree import Path, Value

__all__ = ["Source", "apply_extends"]

_DEEPEST: Final = 100  # a chain of services


@dataclass(frozen=True)
class Source:
    """The services of one file and the places it marked with `!reset`."""

    file: str
    tree: Value
    resets: Sequence[Path] = ()


Reader = Callable[[str], Source]


def apply_extends(source: Source, read: Reader, findings: Findings) -> Value:
    """The tree of a file with every `extends` carried out; `read` gets other files, in long form.

    Raises ComposeInvalid for a cycle, a missing service, or a file that is not there.
    """
    services = source.tree.get("services")
    if not isinstance(services, dict) or not any(isinstance(s, dict) and "extends" in s for s in services.values()):
        return source.tree
    extender = _Extender(read, findings)
    return {**source.tree, "services": {name: extender.service(name, source, ()) for name in services}}


class _Extender:
    def __init__(self, read: Reader, findings: Findings) -> None:
        self._read = read
        self._findings = findings
        self._done: dict[tuple[str, str], Value] = {}

    def service(self, name: str, source: Source, chain: tuple[tuple[str, str], ...]) -> Value:
        """One service, complete. `chain` is what extends what on the way here."""
        place = (source.file, name)
        if place not in self._done:
            self._done[place] = self._extended(name, source, chain)
        return self._done[place]

    def _extended(self, name: str, source: Source, chain: tuple[tuple[str, str], ...]) -> Value:
        service = source.tree["services"][name]
        if not isinstance(service, dict) or "extends" not in service:
            return service
        reference, file = _reference(name, service["extends"])
        base_source = source if file is None else self._other(name, reference, file, source)
        if reference not in (base_source.tree.get("services") or {}):
            where = "" if file is None else f" in {file}"
            raise _refused(
                f'cannot extend service "{name}" in {source.file}: service "{reference}" not found{where}', name
            )
        longer = self._longer(chain, (source.file, name))
        base = self.service(reference, base_source, longer)
        own = {key: value for key, value in service.items() if key != "extends"}
        if not isinstance(base, dict):
            return own
        kept = forget({"services": {name: base}}, source.resets)["services"].get(name, {})
        return Merge(self._findings).tree(kept, own, ("services", name))

    def _other(self, name: str, reference: str, file: str, source: Source) -> Source:
        other = self._read(file)
        if not isinstance(other.tree.get("services"), dict):
            raise _refused(f'cannot extend service "{name}" in {other.file}: no services section', name)
        return other

    def _longer(self, chain: tuple[tuple[str, str], ...], place: tuple[str, str]) -> tuple[tuple[str, str], ...]:
        if len(chain) > _DEEPEST:
            raise _refused(f"services extend each other more than {_DEEPEST} levels deep", place[1])
        if place in chain:
            (file, first), *others = [*chain, place]
            lines = ["Circular reference:", f"  {first} in {file}"]
            lines += [f"  extends {service} in {file}" for file, service in others]
            raise _refused("\n".join(lines), place[1])
        return (*chain, place)


def _reference(name: str, extends: Value) -> tuple[str, Optional[str]]:
    """The service that is extended, and its file where it is another one."""
    if isinstance(extends, str):
        return extends, None
    if not isinstance(extends, dict) or not isinstance(extends.get("service"), str):
        raise _refused(f"extends.{name}.service is required", name)
    file = extends.get("file")
    return extends["service"], file if isinstance(file, str) else None


def _refused(message: str, name: str) -> ComposeInvalid:
    return ComposeInvalid([Problem(message, ("services", name, "extends"))])
