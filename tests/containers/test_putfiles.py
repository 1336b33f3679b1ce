"""What a label says of files that were put into a container."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dockpal_agent.containers.putfiles import FILES_LABEL, MOST, PutFiles, label_of, put_into


def labelled(value: Any) -> dict[str, Any]:
    return {"Id": "c0ffee", "Config": {"Labels": {FILES_LABEL: value}}}


def test_what_is_written_into_the_label_is_read_from_it() -> None:
    paths = ["/run/secrets/key", "/etc/a, b\nc", "/run/secrets/key"]

    assert put_into(labelled(label_of(paths))) == PutFiles("c0ffee", ("/etc/a, b\nc", "/run/secrets/key"))
    assert label_of([]) == ""


@pytest.mark.parametrize("value", ["", "[]", "x", "{}", "7", "null", '["relative", 7, null]', "[" * 100_000])
def test_a_label_that_somebody_else_wrote_asks_for_nothing(value: str) -> None:
    assert put_into(labelled(value)) is None


def test_a_container_without_labels_has_no_such_files() -> None:
    assert put_into({"Id": "c0ffee", "Config": {"Labels": None}}) is None


def test_a_label_asks_for_no_more_files_than_a_deploy_can_have() -> None:
    found = put_into(labelled(json.dumps([f"/{number}" for number in range(10 * MOST)])))

    assert found is not None and len(found.paths) == MOST
