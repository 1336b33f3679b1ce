"""Labels that only the agent reads: which they are, and when a container is kept although they changed."""

from __future__ import annotations

import pytest

from dockpal_agent.compose.agentlabels import after_labels, agent_labels, changed_labels, made_from, says_itself
from dockpal_agent.compose.hashes import service_hash
from dockpal_agent.compose.model import SERVICE_ROWS
from dockpal_agent.compose.project import Entry
from tests.compose.reading import read

UPDATE, WINDOW, PROTECTED = "dockpal.auto-update", "dockpal.auto-update.window", "dockpal.protected"


def service(labels: dict[str, str], **more: str) -> Entry:
    """A service as it is read from a file."""
    lines = "".join(f"      {key}: '{text}'\n" for key, text in labels.items())
    written = "".join(f"    {key}: {text}\n" for key, text in more.items())
    below = f"    labels:\n{lines}" if labels else ""
    head = "services:\n  web:\n    image: app:1\n    restart: always\n    hostname: h\n"
    return read(f"{head}{written}{below}").services["web"]


def kept(old: dict[str, str], new: dict[str, str], of_image: dict[str, str], **changes: str) -> bool:
    """Whether the container of a service with the labels `old` is kept when the file says `new`, and `changes`."""
    made = service(old)
    on_container = {**of_image, "dockpal.managed": "true", "dockpal.project": "app", "dockpal.service": "web", **old}
    return made_from(service(new, **changes), service_hash(made), on_container, of_image)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({}, {UPDATE: "true"}),
        ({UPDATE: "true"}, {}),
        ({UPDATE: "true", "a": "b"}, {"a": "b", WINDOW: "02:00-04:00"}),
        ({UPDATE: "true"}, {UPDATE: "false", "dockpal.later": "x"}),
        ({"dockpal.service": "mine"}, {"dockpal.service": "mine", UPDATE: "true"}),
    ],
)
def test_a_container_is_kept_whose_file_changed_in_the_agents_labels_alone(
    old: dict[str, str], new: dict[str, str]
) -> None:
    for of_image in ({}, {UPDATE: "true"}, {UPDATE: "no", "other": "text"}, {"dockpal.unheard-of": "x"}):
        assert kept(old, new, of_image)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({}, {"a": "b"}),
        ({UPDATE: "true", "a": "b"}, {UPDATE: "true", "a": "c"}),
        ({}, {PROTECTED: "true"}),
        ({PROTECTED: "true"}, {}),
        ({}, {"dockpal.managed": "false"}),
    ],
)
def test_a_container_is_made_anew_where_another_label_changed_or_one_that_has_to_be_on_it(
    old: dict[str, str], new: dict[str, str]
) -> None:
    assert not kept(old, new, {})


def test_a_container_is_made_anew_where_anything_else_changed_as_well() -> None:
    assert kept({}, {UPDATE: "true"}, {}, domainname="''")
    assert not kept({}, {UPDATE: "true"}, {}, domainname="other")


def test_labels_stand_where_compose_hashes_them() -> None:
    """The place of `labels` among the attributes is told by a rule here, so that the model need not be loaded."""
    order = [key for key in SERVICE_ROWS if key != "profiles"]
    place = order.index("labels")
    assert [key for key in order if after_labels(key)] == order[place + 1 :]


def test_only_what_differs_is_told_and_what_is_gone_is_empty() -> None:
    found = {UPDATE: "true", WINDOW: "01:00-02:00", "dockpal.project": "app", "dockpal.of-image": "x"}
    entry: Entry = {"labels": {WINDOW: "03:00-04:00", "dockpal.auto-recover": "true", "a": "b"}}
    assert changed_labels(entry, found, {"dockpal.of-image": "x"}) == {
        UPDATE: "",
        WINDOW: "03:00-04:00",
        "dockpal.auto-recover": "true",
    }
    assert changed_labels({}, {"dockpal.of-image": "x", "dockpal.managed": "true"}, {"dockpal.of-image": "x"}) == {}


def test_the_agents_own_and_the_protecting_labels_are_not_among_them() -> None:
    assert agent_labels({UPDATE: "1", PROTECTED: "true", "dockpal.content-hash": "0", "com.docker.x": "y"}) == {
        UPDATE: "1"
    }


def test_a_file_says_itself_whether_it_wants_updates_by_any_of_its_services() -> None:
    text = "services: {{a: {{image: a, profiles: [x], labels: ['{}']}}, b: {{image: b}}}}"
    assert says_itself(read(text.format(f"{UPDATE}=false")))
    assert not says_itself(read(text.format(f"{WINDOW}=")))
