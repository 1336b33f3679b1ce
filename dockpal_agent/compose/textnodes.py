"""A YAML text as nodes that know where they stand in it, for edits that leave every other byte as it is.

The text has been read before (document.py), with its caps: here nothing is checked. Only the short-lived child imports
this, as it loads ruamel.yaml.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final, Optional

from ruamel.yaml import YAML, events

from dockpal_agent.compose.scanner import GoScanner

__all__ = ["Alias", "Node", "Scalar", "Sequence", "Table", "roots"]

_PROPERTIES: Final = re.compile(r"(?:[&!][^\s,\[\]{}]*\s*)+")  # an anchor, a tag
_BLANKS_AND_COMMENTS: Final = re.compile(r"(?:\s|#[^\r\n]*)*")


class Node:
    """From `start`, its anchor or tag included, to `end`, both as offsets; `body` is where it begins without them."""

    def __init__(self, text: str, event: events.NodeEvent) -> None:
        self.start: int = event.start_mark.index
        self.anchored: bool = bool(event.anchor)
        properties = _PROPERTIES.match(text, self.start) if event.anchor or getattr(event, "tag", None) else None
        self.after_properties: int = len(properties.group().rstrip()) + self.start if properties else self.start
        self.body: int = properties.end() if properties else self.start
        self.end: int = event.end_mark.index

    @property
    def real(self) -> Node:
        """What an alias stands for; else the node itself."""
        return self


class Scalar(Node):
    """A text; `plain` where it stands without quotes, `block` where it is one of several lines behind | or >."""

    def __init__(self, text: str, event: events.ScalarEvent) -> None:
        super().__init__(text, event)
        self.text: str = event.value
        self.plain: bool = event.style is None
        self.block: bool = event.style in ("|", ">")
        self.body = min(self.body, self.end)
        if self.block:
            self.end = len(text[: self.end].rstrip())


class Sequence(Node):
    """A list; `dashes` are where its items begin, in a list without brackets."""

    def __init__(self, text: str, event: events.SequenceStartEvent) -> None:
        super().__init__(text, event)
        self.flow: bool = bool(event.flow_style)
        if self.flow:
            self.body = self.end - 1  # the bracket
        self.items: list[Node] = []
        self.dashes: list[int] = []


class Table(Node):
    """A map, as pairs of nodes in their order."""

    def __init__(self, text: str, event: events.MappingStartEvent) -> None:
        super().__init__(text, event)
        self.flow: bool = bool(event.flow_style)
        if self.flow:
            self.body = self.end - 1  # the bracket
        self.pairs: list[tuple[Node, Node]] = []

    def own(self, name: str) -> Optional[tuple[Node, Node]]:
        """The pair with this key that stands in the map itself."""
        return next(
            (pair for pair in self.pairs if isinstance(pair[0].real, Scalar) and pair[0].real.text == name), None
        )

    def merged(self) -> list[Table]:
        """The maps that `<<` brings in, the first counts first."""
        pair = self.own("<<")
        if pair is None or not (isinstance(pair[0], Scalar) and pair[0].plain):
            return []
        source = pair[1].real
        sources = [item.real for item in source.items] if isinstance(source, Sequence) else [source]
        return [each for each in sources if isinstance(each, Table)]

    def found(self, name: str) -> Optional[tuple[Table, Node, Node]]:
        """(map, key, value) where a name stands, in the map itself or in one that is merged into it."""
        pair = self.own(name)
        if pair is not None:
            return (self, *pair)
        return next((hit for hit in (source.found(name) for source in self.merged()) if hit is not None), None)

    def names(self) -> Iterator[str]:
        """All keys that are texts, those that are merged in too; one may come twice."""
        for key, _ in self.pairs:
            real = key.real
            if isinstance(real, Scalar) and not (real.text == "<<" and real.plain):
                yield real.text
        for source in self.merged():
            yield from source.names()


class Alias(Node):
    """`*name`."""

    def __init__(self, text: str, event: events.AliasEvent, target: Node) -> None:
        super().__init__(text, event)
        self.anchored = False
        self.after_properties = self.body = self.start
        self._target: Final = target

    @property
    def real(self) -> Node:
        """What it stands for."""
        return self._target


def roots(text: str) -> list[Node]:
    """The top node of each document."""
    parser = YAML(typ="safe", pure=True)
    parser.Scanner = GoScanner
    made: list[Node] = []
    builder = _Builder(text, made)
    for event in parser.parse(text):
        builder.take(event)
    return made


class _Builder:
    def __init__(self, text: str, made: list[Node]) -> None:
        self._text: Final = text
        self._made: Final = made
        self._anchors: dict[str, Node] = {}
        self._open: list[Any] = []
        self._keys: list[Optional[Node]] = []
        self._last = 0  # where the last thing ended

    def take(self, event: Any) -> None:
        """One of the parser's events."""
        if isinstance(event, events.DocumentStartEvent):
            self._anchors = {}
        elif isinstance(event, events.CollectionEndEvent):
            node = self._open.pop()
            self._keys.pop()
            node.end = event.end_mark.index if node.flow else max(self._last, node.body)
            self._last = max(self._last, node.end)
        elif isinstance(event, events.NodeEvent):
            self._node(event)

    def _node(self, event: Any) -> None:
        node = self._made_of(event)
        if event.anchor and not isinstance(node, Alias):
            self._anchors[event.anchor] = node
        if isinstance(node, Scalar) and not node.text and node.plain and node.start == node.end:
            node.start = node.body = node.end = node.after_properties = self._after_last()
        self._hang(node)
        if isinstance(node, (Sequence, Table)):
            self._open.append(node)
            self._keys.append(None)
        else:
            self._last = max(self._last, node.end)

    def _after_last(self) -> int:
        """Where something empty stands: behind the colon or the dash, not where the parser's next word is."""
        blanks = re.compile(r"[ \t]*[:\-]?").match(self._text, self._last)
        return blanks.end() if blanks else self._last

    def _made_of(self, event: Any) -> Node:
        if isinstance(event, events.AliasEvent):
            return Alias(self._text, event, self._anchors[event.anchor])
        if isinstance(event, events.ScalarEvent):
            return Scalar(self._text, event)
        if isinstance(event, events.SequenceStartEvent):
            return Sequence(self._text, event)
        return Table(self._text, event)

    def _hang(self, node: Node) -> None:
        if not self._open:
            self._made.append(node)
            return
        parent = self._open[-1]
        if isinstance(parent, Sequence):
            if not parent.flow:
                begin = parent.body if not parent.items else self._last
                parent.dashes.append(_BLANKS_AND_COMMENTS.match(self._text, begin).end())  # type: ignore[union-attr]
            parent.items.append(node)
        elif self._keys[-1] is None:
            self._keys[-1] = node
        else:
            parent.pairs.append((self._keys[-1], node))
            self._keys[-1] = None
