from __future__ import annotations

import pytest

from dockpal_agent.transport.edge.state import NEXT, Event, IllegalMove, Machine, State

PATHS = {  # a way to each state
    State.WAITING: [],
    State.DIALING: [Event.DUE],
    State.TOKEN_SENT: [Event.DUE, Event.OPENED],
    State.SERVING: [Event.DUE, Event.OPENED, Event.REQUEST],
    State.STOPPED: [Event.STOP],
}


def machine_in(state: State) -> Machine:
    machine = Machine()
    for event in PATHS[state]:
        machine.advance(event)
    assert machine.state is state
    return machine


def test_every_state_has_a_row_and_a_way_to_it() -> None:
    assert set(NEXT) == set(State) == set(PATHS)


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("event", Event)
def test_a_move_is_the_tables_or_raises_and_changes_nothing(state: State, event: Event) -> None:
    machine = machine_in(state)
    following = NEXT[state].get(event)

    if following is not None:
        assert machine.advance(event) is following
        assert machine.state is following
        return
    with pytest.raises(IllegalMove, match=state.value):
        machine.advance(event)
    assert machine.state is state


@pytest.mark.parametrize("state", [state for state in State if state is not State.STOPPED])
def test_a_stop_is_legal_in_every_state_but_the_last(state: State) -> None:
    assert machine_in(state).advance(Event.STOP) is State.STOPPED
