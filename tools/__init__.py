"""What the project needs for its own work, and never packs: engines for tests, the rule on imports, `make run`."""
