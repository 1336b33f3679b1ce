"""The temporary names: what is written into them is read from them, and nothing else is taken for one."""

from __future__ import annotations

import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dockpal_agent.containers import aside
from dockpal_agent.containers.aside import Was, is_aside, name_for_new, name_for_old, read, was

NAMES = st.text(string.ascii_letters + string.digits + "_.-", min_size=1, max_size=80)
IDS = st.text("0123456789abcdef", min_size=64, max_size=64)


@given(IDS, NAMES, st.sampled_from(Was), st.booleans())
def test_a_temporary_name_tells_the_name_the_other_one_and_the_state(
    container_id: str, name: str, state: Was, new: bool
) -> None:
    given_name = (name_for_new if new else name_for_old)(container_id, name, state)

    said = read(f"/{given_name}")

    assert said == aside.Aside(name, container_id[:12], new, state)
    assert re.search(aside.FILTER["name"], given_name)
    assert re.fullmatch(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+", given_name), "Docker takes it as a name"


@pytest.mark.parametrize(
    "name", ["web", "3f2ab1c29d04_web", "3f2a_web.dockpal-new.running", "x_web.dockpal-old.running"]
)
def test_names_of_others_are_left_alone(name: str) -> None:
    assert not is_aside(name)


@pytest.mark.parametrize(
    ("state", "kept"),
    [
        ({"Running": True}, Was.RUNNING),
        ({"Running": True, "Paused": True}, Was.PAUSED),
        ({"Running": True, "Restarting": True}, Was.RUNNING),
        ({"Restarting": True}, Was.RUNNING),
        ({"Status": "created"}, Was.STOPPED),
        ({"Status": "exited"}, Was.STOPPED),
    ],
)
def test_the_state_that_is_kept(state: dict[str, object], kept: Was) -> None:
    assert was({"State": state}) is kept
