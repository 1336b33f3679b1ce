"""Short forms of ports, volumes and commands."""

from __future__ import annotations

import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from dockpal_agent.compose.mounts import parse_mount
from dockpal_agent.compose.ports import parse_port
from dockpal_agent.compose.shellwords import split_words

PORT = st.integers(1, 65535)


@given(PORT, PORT, st.integers(0, 50), st.sampled_from(["", "/tcp", "/udp", "/SCTP"]))
def test_ranges_of_equal_length_publish_port_by_port(host: int, target: int, more: int, protocol: str) -> None:
    assume(host + more < 65536 and target + more < 65536)

    ports = parse_port(f"{host}-{host + more}:{target}-{target + more}{protocol}")

    assert len(ports) == more + 1
    assert {int(port["published"]) - port["target"] for port in ports} == {host - target}
    assert {port["protocol"] for port in ports} == {protocol[1:].lower() or "tcp"}


@given(PORT, st.integers(1, 50), PORT)
def test_a_range_to_one_port_stays_one_that_the_engine_picks_from(host: int, more: int, target: int) -> None:
    assume(host + more < 65536)

    (port,) = parse_port(f"{host}-{host + more}:{target}")

    assert (port["published"], port["target"]) == (f"{host}-{host + more}", target)


@given(st.text("0123456789:-/.[]abctudp", max_size=30))
def test_any_port_is_read_or_refused_in_words(text: str) -> None:
    try:
        made = [str(port["protocol"]) for port in parse_port(text)]
    except ValueError as refusal:
        made = [str(refusal)]
    assert all(made)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("80-81:8000-8002", "Invalid ranges specified for container and host Ports: 8000-8002 and 80-81"),
        ("80/foo", "Invalid proto: foo"),
        ("abc", "Invalid containerPort: abc"),
        ("70000:80", "Invalid hostPort: 70000"),
        (":", "No port specified: :<empty>"),
        ("1.2.3:80:80", "Invalid ip address: 1.2.3"),
    ],
)
def test_a_wrong_port_is_refused_in_compose_words(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(words)}$"):
        parse_port(text)


def test_a_volume_may_have_a_name_of_one_letter() -> None:
    assert parse_mount("v:/data:ro") == {
        "type": "volume",
        "source": "v",
        "target": "/data",
        "read_only": True,
        "volume": {},
    }


@pytest.mark.parametrize("text", ["c:\\data:/data", "C:/data:/data"])
def test_a_letter_that_is_followed_like_a_drive_is_one(text: str) -> None:
    mount = parse_mount(text)

    assert (mount["type"], mount["source"], mount["target"]) == ("bind", text[:-6], "/data")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (":/media/", "invalid spec: :/media/: empty section between colons"),
        ("a:/b:ro:x", "invalid spec: a:/b:ro:x: too many colons"),
        ("", "invalid empty volume spec"),
    ],
)
def test_a_wrong_volume_is_refused_in_compose_words(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=f"^{words}$"):
        parse_mount(text)


@given(st.lists(st.text(st.characters(blacklist_categories=["Cs"]))))
def test_words_in_single_quotes_come_back_as_they_were(words: list[str]) -> None:
    line = " ".join("'" + word.replace("'", "'\"'\"'") + "'" for word in words)

    assert split_words(line).words == words


@pytest.mark.parametrize(
    ("line", "words", "cut"),
    [
        ('sh -c "a  b"', ["sh", "-c", "a  b"], False),
        ("echo a && ls", ["echo", "a"], True),
        ("a b > c", ["a", "b"], True),
        ("a 2>b", ["a"], True),
        ("a\\ b", ["a b"], False),
        ("$(a b)", ["$(a b)"], False),
        ("", [], False),
    ],
)
def test_a_command_is_split_without_a_shell_and_says_when_it_was_cut(line: str, words: list[str], cut: bool) -> None:
    assert split_words(line) == (words, cut)


@pytest.mark.parametrize("line", ["'a", '"a', "a\\", "a(b)", "`a"])
def test_a_command_with_an_open_quote_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match="invalid command line string"):
        split_words(line)
