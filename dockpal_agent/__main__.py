"""`python -m dockpal_agent`; agent.pyz starts by tools/pyz/bootstrap.py and calls the same function."""

from __future__ import annotations

import sys

from dockpal_agent.cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
