"""Compose projects: read a file, know what it asks for, make Docker hold it.

Reading is pure and happens in a child (child.py → reading.py → load.py); what comes back is a `Project`. This room
knows the engine, not the API; nothing outside of it reads YAML of a Compose file. Nothing is exported here: the child
would load all of it, and every deploy waits for its start.
"""
