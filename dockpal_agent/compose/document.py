"""YAML text to trees, with the caps that keep hostile text from hurting.

The text is read as a stream of events: the first that passes a cap ends the reading, before anything was built from
what follows. Size and characters are looked at before the parser is started. This is the only module that loads
ruamel.yaml, and only the short-lived child imports it.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, Optional, Union

from ruamel.yaml import YAML, events
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from dockpal_agent.compose.errors import ComposeInvalid, ComposeTooLarge, Problem
from dockpal_agent.compose.limits import MOST_ALIASED_NODES, MOST_ALIASED_TEXT, MOST_LEVELS, MOST_SERVICES, check_text
from dockpal_agent.compose.scalars import resolve_plain, resolve_tagged
from dockpal_agent.compose.scanner import GoScanner
from dockpal_agent.compose.tree import Path, Value, path_text

__all__ = ["Document", "read_documents"]

_YAML_ORG: Final = "tag:yaml.org,2002:"
# YAML 1.2, 5.1, turned round: the class of what is allowed takes 5 ms to compile.
_NOT_TEXT: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufffe\uffff]")


@dataclass
class Document:
    """One document of a file: its tree, the line of each place in it, and the places with `!reset` or `!override`."""

    file: str
    tree: Value = None
    lines: dict[Path, int] = field(default_factory=dict)
    resets: list[Path] = field(default_factory=list)


class _Node:
    """A node as written: `content` is text, a list of nodes, or a list of pairs of nodes."""

    __slots__ = ("content", "finished", "line", "tag")

    def __init__(self, tag: str, line: int) -> None:
        self.tag = tag
        self.line = line
        self.finished = False
        self.content: Union[str, list[_Node], list[tuple[_Node, _Node]]] = ""


class _Scalar(_Node):
    __slots__ = ("plain",)

    def __init__(self, tag: str, line: int, text: str, *, plain: bool) -> None:
        super().__init__(tag, line)
        self.content = text
        self.plain = plain
        self.finished = True


class _List(_Node):
    __slots__ = ()


class _Map(_Node):
    __slots__ = ()


def read_documents(text: str, file: str) -> list[Document]:
    """All documents of a file. Raises ComposeTooLarge, ComposeInvalid with the line."""
    check_text(text, file)
    control = _NOT_TEXT.search(text)
    if control is not None:
        line = text.count("\n", 0, control.start()) + 1
        raise _broken(file, line, f"control characters are not allowed: U+{ord(control.group()):04X}")
    try:
        roots = list(_Composer(file).documents(text))
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        words = " ".join(part for part in (error.context, error.problem) if part)
        raise _broken(file, mark.line + 1 if mark else None, words) from None
    except (YAMLError, RecursionError) as error:
        raise _broken(file, None, str(error)) from None
    return [_Builder(file).build(root) for root in roots]


def _broken(file: str, line: Optional[int], words: str) -> ComposeInvalid:
    """The file is no YAML that Compose could read."""
    place = "" if line is None else f"line {line}: "
    return ComposeInvalid([Problem(f"failed to parse {file}: yaml: {place}{words}", file=file)])


class _Composer:
    """Makes nodes of the parser's events, without recursion, counting levels and services as they come."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._anchors: dict[str, _Node] = {}
        self._open: list[_Node] = []
        self._keys: list[Optional[_Node]] = []  # the key that waits for its value, for each open node
        self._root: Optional[_Node] = None

    def documents(self, text: str) -> Iterator[_Node]:
        parser = YAML(typ="safe", pure=True)
        parser.Scanner = GoScanner
        for event in parser.parse(text):
            if isinstance(event, events.DocumentStartEvent):
                self._anchors, self._root = {}, None
                if event.version is not None and tuple(event.version) != (1, 1):
                    raise _broken(self._file, event.start_mark.line + 1, "found incompatible YAML document")
            elif isinstance(event, events.DocumentEndEvent) and self._root is not None:
                yield self._root
            elif isinstance(event, events.NodeEvent):
                self._node(event)
            elif isinstance(event, events.CollectionEndEvent):
                self._open.pop().finished = True
                self._keys.pop()

    def _node(self, event: events.NodeEvent) -> None:
        if isinstance(event, events.AliasEvent):
            self._put(self._aliased(event))
            return
        node = _node_of(event)
        if event.anchor:
            self._anchors[event.anchor] = node
        self._put(node)
        if isinstance(node, (_List, _Map)):
            self._open.append(node)
            self._keys.append(None)
            if len(self._open) > MOST_LEVELS:
                raise ComposeTooLarge(f"{self._file}: line {node.line}: nested more than {MOST_LEVELS} levels deep")

    def _aliased(self, event: events.AliasEvent) -> _Node:
        node = self._anchors.get(event.anchor)
        line = event.start_mark.line + 1
        if node is None:
            raise _broken(self._file, line, f"unknown anchor '{event.anchor}' referenced")
        if not node.finished:
            raise _broken(self._file, line, f"anchor '{event.anchor}' value contains itself")
        return node

    def _put(self, node: _Node) -> None:
        """Hang a node where it belongs: at the top, in a list, as a key, or under the key before it."""
        if not self._open:
            self._root = node
            return
        parent = self._open[-1]
        assert isinstance(parent.content, list)
        if isinstance(parent, _List):
            parent.content.append(node)  # type: ignore[arg-type]
        elif self._keys[-1] is None:
            self._keys[-1] = node
        else:
            parent.content.append((self._keys[-1], node))  # type: ignore[arg-type]
            self._keys[-1] = None
            if len(self._open) == 2 and len(parent.content) > MOST_SERVICES:
                raise ComposeTooLarge(
                    f"{self._file}: line {node.line}: more than {MOST_SERVICES} services or resources"
                )


def _node_of(event: events.NodeEvent) -> _Node:
    tag = str(getattr(event, "tag", None) or "")
    tag = tag[len(_YAML_ORG) :] if tag.startswith(_YAML_ORG) else tag
    line = event.start_mark.line + 1
    if isinstance(event, events.ScalarEvent):
        return _Scalar(tag, line, event.value, plain=event.style is None and tag in ("", "!"))
    node = _List(tag, line) if isinstance(event, events.SequenceStartEvent) else _Map(tag, line)
    node.content = []
    return node


class _Builder:
    """Makes the tree of a document's nodes: aliases put in, merge keys resolved, words given their meaning."""

    def __init__(self, file: str) -> None:
        self._document = Document(file)
        self._problems: list[Problem] = []
        self._seen: set[int] = set()
        self._aliased = 0
        self._aliased_text = 0

    def build(self, root: _Node) -> Document:
        """Raises ComposeInvalid with every double key and every key that is no text."""
        self._document.tree = self._value(root, (), MOST_LEVELS)
        if self._problems:
            raise ComposeInvalid(self._problems)
        return self._document

    def _value(self, node: _Node, path: Path, levels: int) -> Value:
        self._count(node)
        if not levels:
            raise ComposeTooLarge(
                f"{self._document.file}: line {node.line}: nested more than {MOST_LEVELS} levels deep"
            )
        self._document.lines.setdefault(path, node.line)
        if node.tag in ("!reset", "!override"):
            self._document.resets.append(path)
        if isinstance(node, _Scalar):
            return self._scalar(node)
        if isinstance(node, _List):
            kept = [item for item in node.content if isinstance(item, _Node) and item.tag != "!reset"]
            self._note_resets(node, path)
            return [self._value(item, (*path, index), levels - 1) for index, item in enumerate(kept)]
        return self._mapping(node, path, levels)

    def _note_resets(self, node: _Node, path: Path) -> None:
        for index, item in enumerate(node.content):
            if isinstance(item, _Node) and item.tag == "!reset":
                self._document.resets.append((*path, index))

    def _count(self, node: _Node) -> None:
        """Every visit after the first is one that an alias makes: those are capped, and the text they repeat."""
        if id(node) not in self._seen:
            self._seen.add(id(node))
            return
        self._aliased += 1
        self._aliased_text += len(node.content) if isinstance(node, _Scalar) else 0
        if self._aliased > MOST_ALIASED_NODES or self._aliased_text > MOST_ALIASED_TEXT:
            raise ComposeTooLarge(f"{self._document.file}: yaml: document contains excessive aliasing")

    def _scalar(self, node: _Scalar) -> Value:
        text = str(node.content)
        if node.plain:
            return resolve_plain(text)
        try:
            if node.tag == "binary":
                return base64.b64decode(text, validate=False).decode()
            return resolve_tagged(node.tag, text)
        except (ValueError, binascii.Error) as error:
            raise _broken(self._document.file, node.line, str(error)) from None

    def _mapping(self, node: _Node, path: Path, levels: int) -> Value:
        made: dict[str, Value] = {}
        merged: list[_Node] = []
        first: dict[str, int] = {}
        for pair in node.content:
            assert isinstance(pair, tuple)
            key, item = pair
            name = self._key(key, path, first)
            if name is None:
                continue
            if name == "<<" and isinstance(key, _Scalar) and (key.plain or key.tag == "merge"):
                merged.extend(self._sources(item))
            elif item.tag == "!reset":
                self._document.resets.append((*path, name))
            else:
                made[name] = self._value(item, (*path, name), levels - 1)
                self._document.lines[(*path, name)] = key.line
        for source in merged:
            self._merge(made, source, path, levels)
        return made

    def _merge(self, made: dict[str, Value], source: _Node, path: Path, levels: int) -> None:
        """`<<`: what is there already stays."""
        for name, value in self._value(source, path, levels).items():
            made.setdefault(name, value)

    def _sources(self, node: _Node) -> list[_Node]:
        """The maps that a merge key names."""
        nodes = [item for item in node.content if isinstance(item, _Node)] if isinstance(node, _List) else [node]
        if not all(isinstance(item, _Map) for item in nodes):
            raise _broken(self._document.file, node.line, "map merge requires map or sequence of maps as the value")
        return nodes

    def _key(self, key: _Node, path: Path, first: dict[str, int]) -> Optional[str]:
        """A key's text; None, and a problem noted, when it is no text or stands there already."""
        if not isinstance(key, _Scalar):
            raise _broken(self._document.file, key.line, "invalid map key")
        text = str(key.content)
        if text in first:
            words = f'mapping key "{text}" already defined at line {first[text]}'
            words = f"failed to parse {self._document.file}: line {key.line}: {words}"
            self._problems.append(Problem(words, (*path, text), self._document.file, key.line))
            return None
        first[text] = key.line
        self._count(key)
        value = self._scalar(key)
        if not isinstance(value, str):
            place = f"in {path_text(path)}" if path else "at top level"
            self._problems.append(
                Problem(f"non-string key {place}: {text}", (*path, text), self._document.file, key.line)
            )
            return None
        return value
