# The only commands to remember; `make` alone lists them. What needs root and does not have it says what is missing.
PYTHON ?= python3
VENV := .venv
DEV := $(VENV)/.installed

.PHONY: help run stop test check bench soak image release clean lock

help:  ## this list
	@awk -F':.*## ' '/^[a-z]+:.*## /{printf "make %-8s %s\n", $$1, $$2}' Makefile

$(DEV): requirements-dev.lock
	$(PYTHON) -m tools.venv $(VENV) requirements-dev.lock
	@touch $@

check: $(DEV)  ## ruff, formatting, mypy --strict, imports downwards only
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/python -m tools.imports
