"""YAML and its caps."""

from __future__ import annotations

import threading

import pytest

from dockpal_agent.compose.document import read_documents
from dockpal_agent.compose.errors import ComposeError, ComposeInvalid, ComposeTooLarge
from dockpal_agent.compose.limits import LARGEST_FILE, MOST_LEVELS, MOST_SERVICES

BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9)
)
DEEP = {
    "lists in brackets": "[" * 100_000,
    "maps in braces": "{a: " * 100_000,
    "brackets on lines of their own": "[\n" * 100_000,
    "dashes": "- " * 100_000,
    "keys": "? " * 100_000,
    "indented keys": "\n".join(" " * n + "a:" for n in range(900)),
}


@pytest.mark.parametrize("text", DEEP.values(), ids=DEEP)
def test_nesting_without_end_is_refused_also_on_a_small_stack(text: str) -> None:
    caught: list[BaseException] = []

    def attempt() -> None:
        try:
            read_documents(text, "compose.yml")
        except ComposeError as error:
            caught.append(error)

    before = threading.stack_size(512 * 1024)
    try:
        thread = threading.Thread(target=attempt)
        thread.start()
    finally:
        threading.stack_size(before)
    thread.join(30)

    assert not thread.is_alive()
    assert [type(error) for error in caught] == [ComposeTooLarge]
    assert f"nested more than {MOST_LEVELS} levels deep" in str(caught[0])


def test_nesting_that_aliases_make_counts_too() -> None:
    text = "x0: &x0 [a]\n" + "".join(f"x{n}: &x{n} [*x{n - 1}]\n" for n in range(1, 200))

    with pytest.raises(ComposeTooLarge, match="levels deep"):
        read_documents(text, "compose.yml")


def test_aliases_that_multiply_are_refused() -> None:
    with pytest.raises(ComposeTooLarge, match="excessive aliasing"):
        read_documents(BOMB, "compose.yml")


def test_aliases_that_repeat_a_long_text_are_refused() -> None:
    text = f"x: &x {'y' * 100_000}\nz: [{', '.join(['*x'] * 1000)}]\n"

    with pytest.raises(ComposeTooLarge, match="excessive aliasing"):
        read_documents(text, "compose.yml")


def test_more_services_than_the_cap_are_refused_and_as_many_are_not() -> None:
    def services(count: int) -> str:
        return "services:\n" + "".join(f"  s{n}: {{image: x}}\n" for n in range(count))

    assert len(read_documents(services(MOST_SERVICES), "compose.yml")[0].tree["services"]) == MOST_SERVICES
    with pytest.raises(ComposeTooLarge, match=f"line {MOST_SERVICES + 2}: more than {MOST_SERVICES} services"):
        read_documents(services(MOST_SERVICES + 1), "compose.yml")


def test_a_file_larger_than_the_cap_is_refused_before_it_is_parsed() -> None:
    with pytest.raises(ComposeTooLarge, match=f"{LARGEST_FILE + 1} bytes are too many"):
        read_documents("[" * (LARGEST_FILE + 1), "compose.yml")


def test_a_nul_is_refused_with_its_line() -> None:
    with pytest.raises(ComposeInvalid, match="line 2: control characters are not allowed"):
        read_documents('a: 1\nb: "\0"\n', "compose.yml")


def test_all_double_keys_are_reported_with_both_lines() -> None:
    with pytest.raises(ComposeInvalid) as refusal:
        read_documents("a: 1\nb: {c: 1, c: 2}\na: 2\n", "compose.yml")

    assert sorted(str(refusal.value).splitlines()) == [
        'failed to parse compose.yml: line 2: mapping key "c" already defined at line 2',
        'failed to parse compose.yml: line 3: mapping key "a" already defined at line 1',
    ]


def test_every_place_knows_its_line_and_merged_ones_the_line_where_they_were_written() -> None:
    (document,) = read_documents("x: &x\n  a: 1\ny:\n  <<: *x\n  b: [1,\n    2]\n", "compose.yml")

    assert document.tree == {"x": {"a": 1}, "y": {"b": [1, 2], "a": 1}}
    assert document.lines[("y", "a")] == 2
    assert document.lines[("y", "b", 1)] == 6


def test_an_alias_inside_its_own_anchor_is_refused() -> None:
    with pytest.raises(ComposeInvalid, match="line 1: anchor 'x' value contains itself"):
        read_documents("a: &x [*x]", "compose.yml")
