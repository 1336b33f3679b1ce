"""The rules for paths from outside."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dockpal_agent.files.errors import BadPath
from dockpal_agent.files.paths import clean, is_below, name_of_upload, wants_directory


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/", "/"),
        ("//", "/"),
        ("/etc/", "/etc"),
        ("//etc/./hosts//", "/etc/hosts"),
        ("/a b/-c/'\"\\ü🐋", "/a b/-c/'\"\\ü🐋"),
        ("/...", "/..."),
        ("/..a/b..", "/..a/b.."),
    ],
)
def test_a_path_has_one_form(path: str, expected: str) -> None:
    assert clean(path) == expected


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("", "required"),
        ("etc", "absolute"),
        ("./etc", "absolute"),
        ("/..", r"\.\."),
        ("/a/../b", r"\.\."),
        ("/a/..", r"\.\."),
        ("/a\nb", r"control character \(U\+000A\)"),
        ("/a\0", "control character"),
        ("/a\x7f", "control character"),
        ("/a\x9b", "control character"),
        ("/\ud800", "Unicode"),
        ("/" + "ü" * 128, "longer than 255 bytes"),
        ("/abc" * 1024, "too long"),
    ],
)
def test_a_path_that_breaks_a_rule_is_refused_with_the_rule(path: str, reason: str) -> None:
    with pytest.raises(BadPath, match=reason):
        clean(path)


@given(st.text(max_size=60))
def test_a_cleaned_path_is_absolute_has_no_dots_and_stays_the_same(text: str) -> None:
    try:
        path = clean("/" + text)
    except BadPath:
        return
    assert path.startswith("/") and clean(path) == path
    assert not {"..", "."} & set(path.split("/"))
    assert path == "/" or not path.endswith("/")


def test_a_path_is_written_as_a_directory_by_its_end() -> None:
    assert [wants_directory(path) for path in ("/a/", "/a/.", "/", "/a", "/a.")] == [True, True, True, False, False]


def test_a_path_is_below_a_directory_only_at_a_slash() -> None:
    assert is_below("/etc/a", "/etc") and is_below("/etc", "/etc") and is_below("/etc", "/")
    assert not is_below("/etcetera", "/etc")


@pytest.mark.parametrize(("filename", "name"), [("a.txt", "a.txt"), ("x/y/ü b", "ü b"), ("a\\b", "a\\b")])
def test_an_upload_is_called_by_the_last_part_of_its_name(filename: str, name: str) -> None:
    assert name_of_upload(filename) == name


@pytest.mark.parametrize("filename", ["", "/", ".", "..", "a/..", "a\nb", "x" * 256])
def test_an_upload_without_a_usable_name_is_refused(filename: str) -> None:
    with pytest.raises(BadPath):
        name_of_upload(filename)
