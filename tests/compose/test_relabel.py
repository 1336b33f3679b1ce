"""Switching updates in the text of a Compose file: only that label changes, and no other byte of the text."""

from __future__ import annotations

import dataclasses
import os

import pytest

from dockpal_agent.compose.errors import ComposeError, ComposeInvalid, ComposeUneditable
from dockpal_agent.compose.load import load
from dockpal_agent.compose.project import ReadRequest, TextFile
from dockpal_agent.compose.relabel import relabelled, with_label
from tests.compose import judge
from tests.compose.corpus import absence, goldens, request_for
from tests.compose.reading import read, request

LABEL = "dockpal.auto-update"

# What stands in the file, and what it is with the label. Without it again, it is byte for byte what it was.
FORMS = {
    "no labels": (
        "services:\n  web:\n    image: app:1  # the app\n    ports: ['80']\n    environment:\n      A: b\n",
        "services:\n  web:\n    image: app:1  # the app\n    ports: ['80']\n"
        '    labels:\n      dockpal.auto-update: "true"\n    environment:\n      A: b\n',
    ),
    "no line end at the end": (
        "services:\n  web:\n    image: app:1",
        'services:\n  web:\n    image: app:1\n    labels:\n      dockpal.auto-update: "true"',
    ),
    "nothing on one line": (
        "services:\n  web:\n    # what it is\n    build:\n      context: .\n    image: >-\n      app:1\n",
        'services:\n  web:\n    labels:\n      dockpal.auto-update: "true"\n'
        "    # what it is\n    build:\n      context: .\n    image: >-\n      app:1\n",
    ),
    "a map": (
        "services:\n  web:\n    labels:  # ours\n\n      # first\n      a: b # c\n    image: app:1\n",
        "services:\n  web:\n    labels:  # ours\n"
        '      dockpal.auto-update: "true"\n\n      # first\n      a: b # c\n    image: app:1\n',
    ),
    "a list": (
        "services:\n  web:\n    labels:\n      -   a=b # c\n      - 'd=e'\n    image: app:1\n",
        "services:\n  web:\n    labels:\n      - dockpal.auto-update=true\n"
        "      -   a=b # c\n      - 'd=e'\n    image: app:1\n",
    ),
    "a list at its key's column, CRLF": (
        "services:\r\n  web:\r\n    image: app:1\r\n    labels:\r\n    - a=b\r\n    restart: always\r\n",
        "services:\r\n  web:\r\n    image: app:1\r\n    labels:\r\n    - dockpal.auto-update=true\r\n    - a=b\r\n"
        "    restart: always\r\n",
    ),
    "CRLF without labels": (
        "services:\r\n  web:\r\n    image: app:1\r\n",
        'services:\r\n  web:\r\n    image: app:1\r\n    labels:\r\n      dockpal.auto-update: "true"\r\n',
    ),
    "a map in brackets": (
        "services:\n  web:\n    image: app:1\n    labels: {a: b,\n      'c': d}  # two\n",
        'services:\n  web:\n    image: app:1\n    labels: {"dockpal.auto-update": "true", a: b,\n'
        "      'c': d}  # two\n",
    ),
    "a list in brackets": (
        "services:\n  web:\n    image: app:1\n    labels: [ a=b ]\n",
        'services:\n  web:\n    image: app:1\n    labels: [ "dockpal.auto-update=true", a=b ]\n',
    ),
    "all in brackets, as JSON": (
        '{"services": {"web": {"image": "app:1"}}}\n',
        '{"services": {"web": {"labels": {"dockpal.auto-update": "true"}, "image": "app:1"}}}\n',
    ),
    "labels for all by an anchor": (
        "x-labels: &all\n  a: b\nservices:\n  web:\n    image: app:1\n    labels: *all\n"
        "  db:\n    image: db:1\n    labels: *all\n",
        'x-labels: &all\n  dockpal.auto-update: "true"\n  a: b\nservices:\n  web:\n    image: app:1\n    labels: *all\n'
        "  db:\n    image: db:1\n    labels: *all\n",
    ),
    "an anchor that other things use as well": (
        "x-labels: &all\n  a: b\nservices:\n  web:\n    image: app:1\n    labels: *all\n"
        "networks:\n  default:\n    labels: *all\n",
        "x-labels: &all\n  a: b\nservices:\n  web:\n    image: app:1\n"
        '    labels: {<<: *all, "dockpal.auto-update": "true"}\nnetworks:\n  default:\n    labels: *all\n',
    ),
    "a service merged from what has labels": (
        "x-base: &base\n  labels: {a: b}\n  restart: always\nservices:\n  web:\n    <<: *base\n    image: app:1\n",
        'x-base: &base\n  labels: {"dockpal.auto-update": "true", a: b}\n  restart: always\n'
        "services:\n  web:\n    <<: *base\n    image: app:1\n",
    ),
    "labels with a merge": (
        "x-l: &l {a: b}\nservices:\n  web:\n    image: app:1\n    labels:\n      <<: *l\n      c: d\n",
        'x-l: &l {a: b}\nservices:\n  web:\n    image: app:1\n    labels:\n      dockpal.auto-update: "true"\n'
        "      <<: *l\n      c: d\n",
    ),
    "a service that is another's alias": (
        "services:\n  web: &web  # both\n    image: app:1\n  copy: *web\n",
        "services:\n  web: &web  # both\n    image: app:1\n"
        '    labels:\n      dockpal.auto-update: "true"\n  copy: *web\n',
    ),
    "several services, one with a profile, comments between": (
        "# head\nservices:\n\n  # the front\n  web:\n    # from here\n    image: 'app:1'\n\n  db:\n"
        '    image: "db:1"\n    profiles: [x]\n    # the end\n\nvolumes: {}\n',
        "# head\nservices:\n\n  # the front\n  web:\n    # from here\n    image: 'app:1'\n"
        '    labels:\n      dockpal.auto-update: "true"\n\n  db:\n    image: "db:1"\n    profiles: [x]\n'
        '    labels:\n      dockpal.auto-update: "true"\n    # the end\n\nvolumes: {}\n',
    ),
    "tabs behind words, and wide indentation": (
        "services:\t# all\n      web:\n            image:\tapp:1\t# tab\n            labels:\n"
        "                  a:\tb\n",
        "services:\t# all\n      web:\n            image:\tapp:1\t# tab\n            labels:\n"
        '                  dockpal.auto-update: "true"\n                  a:\tb\n',
    ),
    "an image by a variable, and no ASCII": (
        "services:\n  web:\n    image: ${IMAGE:-app}:1 # für 😀\n    labels: {'ä': 'ö'}\n",
        "services:\n  web:\n    image: ${IMAGE:-app}:1 # für 😀\n"
        "    labels: {\"dockpal.auto-update\": \"true\", 'ä': 'ö'}\n",
    ),
    "a mark of the byte order": (
        "\ufeffservices:\n  web:\n    image: app:1\n",
        '\ufeffservices:\n  web:\n    image: app:1\n    labels:\n      dockpal.auto-update: "true"\n',
    ),
    "two documents": (
        "services:\n  web:\n    image: app:1\n---\nservices:\n  web:\n    labels:\n      a: b\n",
        'services:\n  web:\n    image: app:1\n---\nservices:\n  web:\n    labels:\n      dockpal.auto-update: "true"\n'
        "      a: b\n",
    ),
    "one extends the other": (
        "services:\n  web:\n    extends: {service: db}\n    labels: [x=y]\n  db:\n    image: db:1\n",
        'services:\n  web:\n    extends: {service: db}\n    labels: ["dockpal.auto-update=true", x=y]\n'
        '  db:\n    image: db:1\n    labels:\n      dockpal.auto-update: "true"\n',
    ),
}


def labels_of(text: str) -> dict[str, object]:
    project = read(text)
    return {
        name: entry.get("labels", {}).get(LABEL) for name, entry in {**project.services, **project.disabled}.items()
    }


@pytest.mark.parametrize("form", FORMS)
def test_the_label_is_set_and_removed_again_with_every_other_byte_as_it_was(form: str) -> None:
    plain, labelled = FORMS[form]

    made = relabelled(request(plain), True)

    assert made == labelled
    assert set(labels_of(made).values()) == {"true"}
    assert relabelled(request(made), False) == plain


@pytest.mark.parametrize("form", FORMS)
def test_what_says_so_already_is_left_as_it_is(form: str) -> None:
    plain, labelled = FORMS[form]
    assert relabelled(request(labelled), True) == labelled
    assert relabelled(request(plain), False) == plain


SWITCHED = {
    "another text": (
        "labels:\n      dockpal.auto-update: false # off\n",
        'labels:\n      dockpal.auto-update: "true" # off\n',
    ),
    "a truth of YAML": ("labels:\n      dockpal.auto-update: true\n", "labels:\n      dockpal.auto-update: true\n"),
    "quotes": ("labels: {'dockpal.auto-update': 'no', a: b}\n", "labels: {'dockpal.auto-update': \"true\", a: b}\n"),
    "no text": (
        "labels:\n      dockpal.auto-update:\n      a: b\n",
        'labels:\n      dockpal.auto-update: "true"\n      a: b\n',
    ),
    "an alias": (
        "labels:\n      a: &flag 'false'\n      dockpal.auto-update: *flag\n",
        "labels:\n      a: &flag 'false'\n      dockpal.auto-update: \"true\"\n",
    ),
    "an item": ("labels:\n      - 'dockpal.auto-update=no'\n", "labels:\n      - dockpal.auto-update=true\n"),
    "an item alone": ("labels: [dockpal.auto-update]\n", 'labels: ["dockpal.auto-update=true"]\n'),
    "a variable": ("labels:\n      dockpal.auto-update: ${X:-no}\n", 'labels:\n      dockpal.auto-update: "true"\n'),
    "an empty map": ("labels: {}\n", 'labels: {"dockpal.auto-update": "true"}\n'),
    "an empty list": ("labels: [ ]\n", 'labels: ["dockpal.auto-update=true" ]\n'),
}


@pytest.mark.parametrize("form", SWITCHED)
def test_a_label_or_labels_that_say_something_else_are_set(form: str) -> None:
    head = "services:\n  web:\n    image: app:1\n    "
    before, after = SWITCHED[form]
    assert relabelled(request(head + before), True) == head + after


REMOVED = {
    "its own labels, with a comment": (
        '    labels:\n      # on\n      dockpal.auto-update: "true" # yes\n    restart: always\n',
        "      # on\n    restart: always\n",
    ),
    "one of three in brackets": (
        "    labels: {a: b, dockpal.auto-update: x, c: d}\n    restart: always\n",
        "    labels: {a: b, c: d}\n    restart: always\n",
    ),
    "the last in brackets": (
        "    labels: [a=b, dockpal.auto-update=x]\n    restart: always\n",
        "    labels: [a=b]\n    restart: always\n",
    ),
    "the last of several lines in brackets": (
        '    labels: {\n      a: b, # one\n      dockpal.auto-update: "true" # two\n    }\n',
        "    labels: {\n      a: b, # one\n       # two\n    }\n",
    ),
    "all in brackets": ('    labels: {"dockpal.auto-update": "true"}\n    restart: always\n', "    restart: always\n"),
    "all in brackets over lines": (
        '    labels: {\n      "dockpal.auto-update": "true"\n    } # end\n    restart: always\n',
        "    restart: always\n",
    ),
    "twice in a list": (
        "    labels:\n      - dockpal.auto-update\n      - a=b\n      - dockpal.auto-update=true\n",
        "    labels:\n      - a=b\n",
    ),
    "twice in a list in brackets": (
        "    labels: [dockpal.auto-update, a=b, dockpal.auto-update=x, c=d, dockpal.auto-update=true]\n",
        "    labels: [a=b, c=d]\n",
    ),
    "a text of several lines": (
        "    labels:\n      a: b\n      dockpal.auto-update: |\n        true\n      c: d\n",
        "    labels:\n      a: b\n      c: d\n",
    ),
    "the last of the text": (
        "    labels:\n      a: b\n      dockpal.auto-update: 'true'",
        "    labels:\n      a: b",
    ),
}


@pytest.mark.parametrize("form", REMOVED)
def test_the_label_is_removed_whatever_it_says_and_so_are_labels_that_are_empty_then(form: str) -> None:
    head = "services:\n  web:\n    image: app:1\n"
    before, after = REMOVED[form]
    assert relabelled(request(head + before), False) == head + after
    assert set(labels_of(head + after).values()) == {None}


def test_labels_that_hide_others_stay_although_they_are_empty() -> None:
    text = (
        "x-base: &base\n  labels: {a: b}\nservices:\n  web:\n    <<: *base\n    image: app:1\n"
        '    labels:\n      dockpal.auto-update: "true"\n'
    )
    assert relabelled(request(text), False).endswith("    image: app:1\n    labels: {}\n")


def test_labels_under_an_anchor_stay_although_they_are_empty() -> None:
    text = (
        "x-l: &l\n  dockpal.auto-update: 'true'\nservices:\n  web:\n    image: app:1\n    labels: *l\n"
        "  db:\n    image: db:1\n    labels: &m\n      dockpal.auto-update: 'true'\n"
        "  db2:\n    image: db:1\n    labels: *m\n"
    )
    assert relabelled(request(text), False) == (
        "x-l: &l {}\nservices:\n  web:\n    image: app:1\n    labels: *l\n"
        "  db:\n    image: db:1\n    labels: &m {}\n  db2:\n    image: db:1\n    labels: *m\n"
    )


def test_a_label_that_comes_from_another_file_cannot_be_removed_here() -> None:
    text = "services:\n  web:\n    image: app:1\n    label_file: [more_env]\n"
    with pytest.raises(ComposeUneditable, match="another file"):
        relabelled(request(text.replace("more_env", "more.env"), more_env=f"{LABEL}=true\n"), False)


def test_an_anchored_list_that_other_things_use_cannot_be_changed() -> None:
    text = "x-l: &l [a=b]\nservices:\n  web:\n    image: app:1\n    labels: *l\nnetworks:\n  default:\n    labels: *l\n"
    with pytest.raises(ComposeUneditable, match="by hand"):
        relabelled(request(text), True)


def test_a_file_that_cannot_be_read_is_refused_in_the_readings_words() -> None:
    with pytest.raises(ComposeInvalid, match="imagee"):
        relabelled(request("services:\n  web:\n    imagee: x\n"), True)


def switched_both_ways(asked: ReadRequest) -> None:
    """On and off again, a file that does not have the label is byte for byte what it was."""
    (file,) = asked.files
    text = relabelled(asked, True)
    assert text != file.text
    with_it = dataclasses.replace(asked, files=(TextFile(file.path, text),))
    assert with_label(text, True) == text
    assert relabelled(with_it, False) == file.text


@pytest.mark.parametrize("group", ["projects", "yaml"])
def test_every_small_file_that_can_be_read_can_be_switched_on_and_off(group: str) -> None:
    switched = 0
    for asked in map(judge.request_for, judge.cases(group)):
        try:
            services = load(asked).services
        except ComposeError:
            continue
        if len(asked.files) == 1 and services:
            switched_both_ways(asked)
            switched += 1
    assert switched > 20


def test_every_real_file_can_be_switched_on_and_off() -> None:
    missing = absence()
    if missing and os.environ.get("CI") == "true":
        pytest.fail(missing)
    if missing:
        pytest.skip(missing)
    for golden in goldens():
        if not golden.refusal:
            asked = request_for(golden)
            file = TextFile(asked.files[0].path, golden.path.read_bytes().decode())
            switched_both_ways(dataclasses.replace(asked, files=(file,)))
