"""A stand-in for the DockPal Server, written from the protocol and as strict as the real one, for tests of the line.

`server.StandIn` takes lines and asks over them; `link.Link` is the network between, which can be made to fail.
"""

from __future__ import annotations
