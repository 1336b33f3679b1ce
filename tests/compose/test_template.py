"""Variables in text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dockpal_agent.compose.template import InvalidTemplate, MissingVariable, substitute

VARIABLES = {"A": "a", "EMPTY": ""}
NAMES = st.from_regex(r"[_a-zA-Z][_a-zA-Z0-9]{0,8}", fullmatch=True)
PLAIN = st.text(st.characters(blacklist_characters="${}\n", blacklist_categories=["Cs"]))


def made(text: str) -> str:
    return substitute(text, VARIABLES.get, lambda name: None)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$A ${A}", "a a"),
        ("${NONE:-d} ${EMPTY:-d} ${EMPTY-d} ${NONE-d}", "d d  d"),
        ("${A:+r} ${EMPTY:+r} ${EMPTY+r} ${NONE+r}", "r  r "),
        ("${NONE-${NONE:-x}y}", "xy"),
        ('${NONE:-{"a":1}}', '{"a":1}'),
        ("${NONE:-http://x?y=1}", "http://x?y=1"),
        ("$$A $$$A", "$A $a"),
        ("a$ $ $1", "a$ $ $1"),
        ("${A:?must} ${EMPTY?must}", "a "),
        ("${NONE:-a} and ${NONE:-b}", "a and b"),
    ],
)
def test_each_form_gives_what_compose_gives(text: str, expected: str) -> None:
    assert made(text) == expected


@pytest.mark.parametrize("text", ["${1x}", "${A", "${}", "${A!}", "${NONE:-a\n}"])
def test_a_brace_without_a_variable_is_refused_with_the_text(text: str) -> None:
    with pytest.raises(InvalidTemplate) as refusal:
        made(text)

    assert refusal.value.template == text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("${NONE:?must be set}", "required variable NONE is missing a value: must be set"),
        ("${EMPTY:?}", "required variable EMPTY is missing a value"),
        ("${NONE?${A}}", "required variable NONE is missing a value: a"),
    ],
)
def test_a_required_variable_without_a_value_is_refused_with_its_reason(text: str, words: str) -> None:
    with pytest.raises(MissingVariable) as refusal:
        made(text)

    assert str(refusal.value) == words


def test_names_without_a_value_and_a_default_are_told() -> None:
    unset: list[str] = []

    substitute("$NONE ${OTHER} ${A} ${DEFAULT:-d}", VARIABLES.get, unset.append)

    assert unset == ["NONE", "OTHER"]


def test_variables_nested_without_end_are_refused() -> None:
    with pytest.raises(InvalidTemplate):
        made("${NONE:-" * 50_000 + "}" * 50_000)


@given(st.text())
def test_a_text_whose_dollars_are_doubled_comes_back(text: str) -> None:
    assert made(text.replace("$", "$$")) == text


@given(NAMES, PLAIN, PLAIN)
def test_a_default_stands_for_a_variable_that_is_unset_and_for_no_other(name: str, default: str, value: str) -> None:
    text = f"${{{name}-{default}}}"

    assert substitute(text, lambda _: None, lambda unset: None) == default
    assert substitute(text, {name: value}.get, lambda unset: None) == value


@given(st.text("${}:-?+ab \n", max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        made(text)
    except (InvalidTemplate, MissingVariable):
        pass
