"""Edge mode: the line out to the Server, held open, and the Server's requests that come back down it.

Turns messages of the line into `Request`s for the api and its `Response`s back into messages (the envelope). It knows
no route and no Docker. Nothing is imported here, so that `healthcheck` need not load the WebSocket library:

- `line.EdgeLine`: dials, serves, reconnects; the agent's edge mode is one of these
- `health.edge_health`: what `healthcheck` says; `diagnose.diagnose`: what `doctor` says
"""

from __future__ import annotations
