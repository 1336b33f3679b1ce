"""What build.py is made of: pinned wheels, the contents of agent.pyz, bytecode, and the archive itself."""
