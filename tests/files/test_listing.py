"""How the records of find and stat are read; what a container really holds is in tests/integration."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dockpal_agent.files.listing import Entry, parse_records

MARK = "/0123456789abcdef/"
TOP = "/d/./"


def record(facts: str, name: str, shown: str) -> bytes:
    return f"{facts} {TOP}{name}{MARK}{shown}{MARK}\n".encode("utf-8", "surrogateescape")


def test_a_record_tells_kind_size_mode_owner_and_time() -> None:
    output = record("89c9 3 1700000000 5 6", "a", f"{TOP}a") + record("41ed 4096 1 0 0", "sub", f"{TOP}sub")

    assert parse_records(output, TOP, MARK) == [
        Entry("a", "file", 3, 0o4711, 5, 6, 1700000000),
        Entry("sub", "directory", 0, 0o755, 0, 0, 1),
    ]


@pytest.mark.parametrize(
    ("shown", "target"),
    [
        (f"'{TOP}l' -> '../x'", "../x"),
        (f"{TOP}l -> ../x", "../x"),
        (f"'{TOP}l' -> 'it's -> 'here''", "it's -> 'here'"),
        (f"\"{TOP}l\" -> 'x'", None),
    ],
)
def test_the_target_of_a_link_is_read_from_busybox_and_gnu(shown: str, target: str | None) -> None:
    [entry] = parse_records(record("a1ff 3 1 0 0", "l", shown), TOP, MARK)

    assert (entry.kind, entry.link, entry.size) == ("link", target, 0)


NAMES = st.text(st.characters(blacklist_characters="/\0", blacklist_categories=["Cs"]), min_size=1, max_size=40)


@given(st.lists(st.tuples(NAMES, st.integers(0, 1 << 40)), max_size=8))
def test_any_name_comes_out_as_it_is_newlines_and_all(files: list[tuple[str, int]]) -> None:
    output = b"".join(record(f"81a4 {size} 1 0 0", name, f"'{TOP}{name}'") for name, size in files)

    assert [(entry.name, entry.size) for entry in parse_records(output, TOP, MARK)] == files


def test_a_name_that_is_no_utf_8_keeps_its_bytes() -> None:
    name = b"caf\xe9".decode("utf-8", "surrogateescape")

    [entry] = parse_records(record("81a4 1 1 0 0", name, TOP + name), TOP, MARK)

    assert entry.name.encode("utf-8", "surrogateescape") == b"caf\xe9"


@pytest.mark.parametrize("output", [b"", b"find: unrecognized: -exec\n", b"nonsense" + MARK.encode() + b"x", b"81a4 1"])
def test_what_is_no_record_is_left_out(output: bytes) -> None:
    assert parse_records(output, TOP, MARK) == []


def test_the_wire_has_sizes_as_text_and_links_only_where_there_are_some() -> None:
    file = Entry("a", "file", 12, 0o644, 0, 0, 5).as_json()
    link = Entry("l", "link", 0, 0o777, 0, 0, 5, "a").as_json()

    assert (file["size"], file["is_dir"], file["mode"], "link" in file) == ("12", False, "0644", False)
    assert (link["type"], link["link"]) == ("link", "a")
