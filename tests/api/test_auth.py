"""The token, and patience with those who guess."""

from __future__ import annotations

import pytest

from dockpal_agent.api.auth import ADDRESSES, FORGIVEN_AFTER, FREE_TRIES, LONGEST_DELAY, Guard
from dockpal_agent.api.errors import Unauthorized
from dockpal_agent.api.messages import Query, Request


class Clock:
    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def guard(clock: Clock) -> Guard:
    return Guard(("right", "also-right"), clock=clock, sleep=clock.sleep)


def bearer(token: str, peer: str = "192.0.2.1") -> Request:
    return Request("GET", "/x", headers={"authorization": f"Bearer {token}"}, peer=peer)


def refused(guard: Guard, request: Request, in_query: bool = False) -> str:
    with pytest.raises(Unauthorized) as caught:
        guard.check(request, in_query=in_query)
    return str(caught.value)


def test_every_form_of_the_token_is_let_in(guard: Guard) -> None:
    guard.check(bearer("right"), in_query=False)
    guard.check(bearer("also-right"), in_query=False)
    guard.check(Request("GET", "/x", headers={"authorization": "bearer  right "}), in_query=False)


def test_the_two_texts_tell_a_missing_token_from_a_wrong_one(guard: Guard) -> None:
    assert refused(guard, Request("GET", "/x")) == "missing authorization"
    assert refused(guard, Request("GET", "/x", headers={"authorization": "Basic cmlnaHQ="})) == "missing authorization"
    assert refused(guard, bearer("wrong")) == "invalid token"
    assert refused(guard, bearer("right\u00fc")) == "invalid token"


def test_a_token_in_the_query_counts_on_upgrades_only(guard: Guard) -> None:
    request = Request("GET", "/x", query=Query({"token": "right"}))

    guard.check(request, in_query=True)
    assert refused(guard, request) == "missing authorization"
    assert refused(guard, Request("GET", "/x", query=Query({"token": "wrong"})), in_query=True) == "invalid token"


def test_wrong_tokens_from_one_address_are_answered_later_and_later_up_to_a_bound(guard: Guard, clock: Clock) -> None:
    for _ in range(FREE_TRIES + 10):
        refused(guard, bearer("wrong"))

    assert clock.slept == sorted(clock.slept)
    assert len(clock.slept) == 10
    assert clock.slept[-1] == LONGEST_DELAY


def test_the_right_token_from_a_slowed_address_never_waits(guard: Guard, clock: Clock) -> None:
    for _ in range(20):
        refused(guard, bearer("wrong"))
    before = len(clock.slept)

    guard.check(bearer("right"), in_query=False)

    assert len(clock.slept) == before


def test_other_addresses_are_not_slowed_and_time_heals(guard: Guard, clock: Clock) -> None:
    for _ in range(20):
        refused(guard, bearer("wrong"))
    before = len(clock.slept)

    refused(guard, bearer("wrong", peer="192.0.2.2"))
    clock.now += FORGIVEN_AFTER + 1
    refused(guard, bearer("wrong"))

    assert len(clock.slept) == before


def test_only_so_many_addresses_are_remembered(guard: Guard) -> None:
    for number in range(ADDRESSES * 2):
        refused(guard, bearer("wrong", peer=f"address {number}"))

    assert len(guard._wrong) == ADDRESSES
