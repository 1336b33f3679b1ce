"""Setting or removing one label on every service of a Compose file, and nothing else of its text.

The places are found by the parser, the text is edited between them. What was made is read again, and has to be the same
project but for that label: where the file's own anchors and merges do not allow that, it is refused. In the child only.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any, Final, Optional

from dockpal_agent.compose.agentlabels import AUTO_UPDATE
from dockpal_agent.compose.errors import ComposeInvalid, ComposeTooLarge, ComposeUneditable
from dockpal_agent.compose.load import load
from dockpal_agent.compose.project import Entry, Project, ReadRequest, TextFile
from dockpal_agent.compose.textnodes import Alias, Node, Scalar, Sequence, Table, roots

__all__ = ["relabelled", "with_label"]

LABEL: Final = AUTO_UPDATE
ON: Final = '"true"'
MAP_TEXT: Final = f'"{LABEL}": {ON}'  # in brackets: JSON as well as YAML
LINE_TEXT: Final = f"{LABEL}: {ON}"
ITEM_TEXT: Final = f"{LABEL}=true"
STEP: Final = 2  # blanks, where the file does not say

Span = tuple[int, int]

_NOTHING: Final = re.compile(r"\s*(?:#.*)?\s*")  # the rest of a line
_ONLY_MERGE: Final = re.compile(r"\{\s*<<\s*:\s*(\*[^\s,\[\]{}]+)\s*\}")


def relabelled(request: ReadRequest, enabled: bool) -> str:
    """The text of the request's one file, with the label `dockpal.auto-update: "true"` on every service, or on none.

    Raises ComposeInvalid, ComposeTooLarge for a file that cannot be read; ComposeUneditable.
    """
    (file,) = request.files
    before = load(request)
    for inline in (False, True):
        try:
            made = with_label(file.text, enabled, inline=inline)
            if _differs_in_label_only(before, request, file, made, enabled):
                return made
        except (ComposeInvalid, ComposeTooLarge, _Impossible):
            continue
    raise ComposeUneditable(
        f"{LABEL} cannot be {'set on' if enabled else 'removed from'} every service without changing more of the "
        "Compose file (it may come from another file, or stand where an anchor is used for something else as well): "
        "change the file by hand and deploy it"
    )


def with_label(text: str, enabled: bool, *, inline: bool = False) -> str:
    """The text with the label set or removed. `inline`: labels that are an alias get their own map around it, instead
    of what the alias stands for being changed.
    """
    edit = _Edit(text, inline)
    for services in _services(text).values():
        if enabled:
            edit.enable(services)
        else:
            for service in services:
                edit.disable(service)
    return edit.made()


def _services(text: str) -> dict[str, list[Table]]:
    """The maps of each service by its name, one from each document that has it."""
    found: dict[str, list[Table]] = {}
    for root in roots(text):
        hit = root.real.found("services") if isinstance(root.real, Table) else None
        services = hit[2].real if hit else None
        for name in dict.fromkeys(services.names()) if isinstance(services, Table) else ():
            at = services.found(name)  # type: ignore[union-attr]
            if at is not None and isinstance(at[2].real, Table):
                found.setdefault(name, []).append(at[2].real)
    return found


class _Impossible(Exception):
    """The text has a form that is not edited."""


class _Edit:
    """Edits of one text; each place is edited once, however many services share it."""

    def __init__(self, text: str, inline: bool) -> None:
        self._text: Final = text
        self._inline: Final = inline
        self._done: set[int] = set()
        self._changes: list[tuple[int, int, str]] = []
        self._lines: list[tuple[int, int]] = []  # whole lines to take out

    def enable(self, services: list[Table]) -> None:
        """Set it where labels of the service stand, else give it labels."""
        places = [hit for hit in (service.found("labels") for service in services) if hit is not None]
        if not places:
            if self._first_time(services[0]):
                self._add_labels(services[0])
            return
        has = [place for place in places if _with_label(place[2].real)]
        for _, _, value in has or places[:1]:
            self._enable_in(value)

    def disable(self, service: Table) -> None:
        """Remove it wherever the service has it from."""
        hit = service.found("labels")
        if hit is None:
            return
        table, key, value = hit
        for labels in _with_merged(value.real):
            own = _of_label(labels)
            if not own or not self._first_time(labels):
                continue
            if labels is value.real and len(own) == _size(labels) and not isinstance(value, Alias):
                self._remove_labels(table, key, value, own)
            else:
                self._remove(labels, own)

    def made(self) -> str:
        """The text with all edits."""
        changes = [*self._changes, *((start, end, "") for start, end in self._joined_lines())]
        made, at = [], 0
        for start, end, new in sorted(changes):
            if start < at:
                raise _Impossible
            made += [self._text[at:start], new]
            at = end
        return "".join([*made, self._text[at:]])

    def _first_time(self, node: Node) -> bool:
        if id(node) in self._done:
            return False
        self._done.add(id(node))
        return True

    def _enable_in(self, value: Node) -> None:
        labels = value.real
        if isinstance(value, Alias) and self._inline and isinstance(labels, Table):
            if self._first_time(value):
                self._put(value.start, value.end, f"{{<<: {self._text[value.start : value.end]}, {MAP_TEXT}}}")
            return
        if not self._first_time(labels):
            return
        own = _of_label(labels)
        if isinstance(labels, Sequence):
            for index in own:
                self._set(labels.items[index], ITEM_TEXT, f'"{ITEM_TEXT}"' if labels.flow else ITEM_TEXT)
            if not own:
                self._add_item(labels)
        elif isinstance(labels, Table):
            for index in own:
                self._set(labels.pairs[index][1], "true", ON)
            if not own:
                self._add_pair(labels)

    def _set(self, node: Node, wanted: str, written: str) -> None:
        """A scalar gets another text, unless it has it."""
        if isinstance(node.real, Scalar) and node.real.text == wanted:
            return
        if isinstance(node, Alias):
            self._put(node.start, node.end, written)
        elif not isinstance(node, Scalar) or node.block:
            raise _Impossible
        elif node.start == node.end:
            self._put(node.start, node.end, (" " if self._text[node.start - 1] == ":" else ": ") + written)
        else:
            self._put(node.body, node.end, written)

    def _add_labels(self, service: Table) -> None:
        if service.flow:
            self._put_into(service, f'"labels": {{{MAP_TEXT}}}', service.pairs[0][0] if service.pairs else None)
            return
        column = self._column(service.pairs[0][0].start)
        lines = ["labels:", f"{' ' * STEP}{LINE_TEXT}"]
        after = next((value for key, value in service.pairs[::-1] if self._on_one_line(key, value)), None)
        if after is None:
            self._put_above(service.pairs[0][0].start, lines)
        else:
            self._put_lines(self._line_end(after.end), column, lines)

    def _on_one_line(self, key: Node, value: Node) -> bool:
        block = getattr(value, "block", False) or (isinstance(value, (Sequence, Table)) and not value.flow)
        return not block and "\n" not in self._text[key.start : value.end]

    def _add_pair(self, table: Table) -> None:
        if table.flow:
            self._put_into(table, MAP_TEXT, table.pairs[0][0] if table.pairs else None)
        else:
            self._put_above(table.pairs[0][0].start, [LINE_TEXT])

    def _add_item(self, labels: Sequence) -> None:
        if labels.flow:
            self._put_into(labels, f'"{ITEM_TEXT}"', labels.items[0] if labels.items else None)
        else:
            self._put_above(labels.dashes[0], [f"- {ITEM_TEXT}"])

    def _put_above(self, first: int, lines: list[str]) -> None:
        """Before a collection's first entry, but right below the line that it begins on: comments stay with theirs."""
        column, below = self._column(first), self._header_end(first)
        if below is None:
            newline = self._newline(first)
            self._put(first, first, "".join(f"{line}{newline}{' ' * column}" for line in lines))
        else:
            self._put_lines(below, column, lines)

    def _header_end(self, first: int) -> Optional[int]:
        """The start of the line after the one on which stands what comes before a collection's first entry: its key,
        its anchor. None where that is the entry's own line.
        """
        at = self._line_start(first)
        if self._text[at:first].strip(" "):
            return None
        while at > 0:
            above = self._line_start(at - 1)
            line = self._text[above:at].strip()
            if line and not line.startswith("#"):
                return at
            at = above
        return None

    def _put_into(self, node: Node, text: str, first: Optional[Node]) -> None:
        """As the first in brackets."""
        at = first.start if first is not None else node.body + 1
        self._put(at, at, f"{text}, " if first is not None else text)

    def _put_lines(self, at: int, column: int, lines: list[str]) -> None:
        newline = self._newline(at)
        whole = newline.join(" " * column + line for line in lines)
        if at == len(self._text) and not self._text.endswith("\n"):
            self._put(at, at, newline + whole)
        else:
            self._put(at, at, whole + newline)

    def _remove_labels(self, table: Table, key: Node, value: Node, own: list[int]) -> None:
        """Labels without any other: they go as a whole, unless something is hidden by them or refers to them."""
        labels = value.real
        assert isinstance(labels, (Table, Sequence))
        header = value.after_properties if value.after_properties > value.start else self._colon(key)
        hides = any(source.found("labels") for source in table.merged())
        if value.anchored or hides or len(table.pairs) == 1:
            if not labels.flow and not value.anchored:
                self._put(header, header, _empty(labels))
            self._remove(labels, own)
        elif table.flow:
            self._remove(table, [index for index, pair in enumerate(table.pairs) if pair[0] is key])
        elif labels.flow:
            self._take_out(key.start, value.end)
        else:
            self._take_out(key.start, header)
            self._remove(labels, own)

    def _colon(self, key: Node) -> int:
        return self._text.index(":", key.end) + 1

    def _remove(self, node: Node, indices: list[int]) -> None:
        """Entries of a map or items of a list."""
        assert isinstance(node, (Table, Sequence))
        if isinstance(node, Table):
            spans = [(key.start, max(key.end, value.end)) for key, value in node.pairs]
        else:
            starts = [item.start for item in node.items] if node.flow else node.dashes
            spans = [(start, item.end) for start, item in zip(starts, node.items)]
        left = [index for index in range(len(spans)) if index not in indices]
        if node.flow:
            self._remove_in_brackets(node, spans, indices, left)
            return
        for index in indices:
            self._take_out(*spans[index])
        if not left and node.anchored:
            self._put(node.after_properties, node.after_properties, _empty(node))

    def _remove_in_brackets(
        self, node: Node, spans: list[tuple[int, int]], indices: list[int], left: list[int]
    ) -> None:
        collapsed = self._collapsed(node, left)
        if collapsed:
            self._put(node.body, node.end, collapsed)
            return
        if not left:
            self._put(spans[0][0], spans[-1][1], "")
            return
        for index in indices:
            if index < left[-1]:
                self._put(spans[index][0], spans[index + 1][0], "")
        if indices[-1] > left[-1]:
            end = spans[left[-1]][1]
            comment = "#" in self._text[end : spans[left[-1] + 1][0]]  # the comma before it may stay
            self._put(spans[left[-1] + 1][0] if comment else end, spans[-1][1], "")

    def _collapsed(self, node: Node, left: list[int]) -> str:
        """`*name` where nothing but `<<: *name` is left of a map in brackets: that is what it was before."""
        if not isinstance(node, Table) or len(left) != 1:
            return ""
        key, value = node.pairs[left[0]]
        match = _ONLY_MERGE.fullmatch("{" + self._text[key.start : value.end] + "}")
        return match.group(1) if match and not node.anchored else ""

    def _take_out(self, start: int, end: int) -> None:
        """The lines of something that has them for itself, but for a comment behind it."""
        first, last = self._line_start(start), self._line_end(end)
        if self._text[first:start].strip(" ") or not _NOTHING.fullmatch(self._text, end, last):
            raise _Impossible
        self._lines.append((first, last))

    def _joined_lines(self) -> list[tuple[int, int]]:
        """Neighbours as one; at the end of a text without a last line end, the one before goes instead."""
        joined: list[tuple[int, int]] = []
        for start, end in sorted(self._lines):
            if joined and joined[-1][1] == start:
                joined[-1] = (joined[-1][0], end)
            else:
                joined.append((start, end))
        if joined and joined[-1][1] == len(self._text) and not self._text.endswith("\n"):
            start = joined[-1][0]
            joined[-1] = (len(self._text[:start].removesuffix("\n").removesuffix("\r")), len(self._text))
        return joined

    def _put(self, start: int, end: int, new: str) -> None:
        self._changes.append((start, end, new))

    def _line_start(self, at: int) -> int:
        return self._text.rfind("\n", 0, at) + 1

    def _line_end(self, at: int) -> int:
        end = self._text.find("\n", at)
        return len(self._text) if end < 0 else end + 1

    def _column(self, at: int) -> int:
        return at - self._line_start(at)

    def _newline(self, at: int) -> str:
        """As lines end at this place of the file."""
        end = self._text.find("\n", max(self._line_start(at) - 1, 0))
        return "\r\n" if end > 0 and self._text[end - 1] == "\r" else "\n"


def _of_label(labels: Node) -> list[int]:
    """Where the label stands in labels, not counting what is merged in."""
    if isinstance(labels, Table):
        texts = [key.real for key, _ in labels.pairs]
        return [index for index, key in enumerate(texts) if isinstance(key, Scalar) and key.text == LABEL]
    if isinstance(labels, Sequence):
        items = [item.real for item in labels.items]
        return [
            index
            for index, item in enumerate(items)
            if isinstance(item, Scalar) and item.text.partition("=")[0] == LABEL
        ]
    return []


def _with_label(labels: Node) -> bool:
    return any(_of_label(each) for each in _with_merged(labels))


def _with_merged(labels: Node) -> list[Node]:
    """Labels, and all that is merged into them."""
    if not isinstance(labels, Table):
        return [labels]
    return [labels, *(each for source in labels.merged() for each in _with_merged(source))]


def _empty(labels: Node) -> str:
    return " {}" if isinstance(labels, Table) else " []"


def _size(labels: Node) -> int:
    return len(labels.pairs) if isinstance(labels, Table) else len(labels.items) if isinstance(labels, Sequence) else 0


def _differs_in_label_only(before: Project, request: ReadRequest, file: TextFile, text: str, enabled: bool) -> bool:
    after = load(dataclasses.replace(request, files=(TextFile(file.path, text),)))
    if _without_label(vars(before)) != _without_label(vars(after)):
        return False
    wanted = "true" if enabled else None
    known = _services(text)
    entries = {**after.services, **after.disabled}
    return all((entry.get("labels") or {}).get(LABEL) == wanted for name, entry in entries.items() if name in known)


def _without_label(project: Mapping[str, Any]) -> dict[str, Any]:
    """The project as if nobody had set the label; of extensions too, as labels may be written there for services."""
    made = dict(project)
    for kind in ("services", "disabled", "unresolved"):
        made[kind] = {name: _without(entry) for name, entry in made[kind].items()}
    made["extensions"] = {path: _stripped(value) for path, value in made["extensions"].items()}
    return made


def _without(entry: Entry) -> Entry:
    labels = {key: text for key, text in (entry.get("labels") or {}).items() if key != LABEL}
    return {**entry, "labels": labels}


def _stripped(value: Any) -> Any:
    """Of a tree as written: the label is out, and so is what is empty then."""
    if isinstance(value, dict):
        made = {key: _stripped(item) for key, item in value.items() if key != LABEL}
        return {key: item for key, item in made.items() if key != "labels" or item}
    if isinstance(value, list):
        return [_stripped(item) for item in value if not (isinstance(item, str) and item.partition("=")[0] == LABEL)]
    return value
