# The only commands to remember; `make` alone lists them. What needs root and does not have it says what is missing.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
DEV := $(VENV)/.installed
BASE ?= python:3.13-alpine
IMAGE ?= dockpal-agent:latest

.PHONY: help run stop test check bench soak image release clean lock

help:  ## this list
	@awk -F':.*## ' '/^[a-z]+:.*## /{printf "make %-8s %s\n", $$1, $$2}' Makefile

run:  ## build agent.pyz and run it in direct mode in the background, everything it needs made ready
	@$(PYTHON) -m tools.run

stop:  ## end the agent that `make run` left running
	@$(PYTHON) -m tools.run stop

$(DEV): requirements-dev.lock
	@$(PYTHON) -m tools.venv $(VENV) requirements-dev.lock
	@touch $@

check: $(DEV)  ## ruff, formatting, mypy --strict, imports downwards only
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(RUN) -m tools.imports

test: check  ## checks, then all tests against real engines, in lanes; unit tests under Python 3.9 and 3.13 as well
	$(RUN) -m tools.engines ready
	$(RUN) -m tools.suite

bench: $(DEV)  ## one table of figures against their budgets; PEER=<command> puts another agent beside
	@$(RUN) -m tools.engines ready
	@$(RUN) -m bench

soak: $(DEV)  ## 256 clients for 30 s (SECONDS=n), then: memory, threads and connections as before?
	@$(RUN) -m tools.engines ready
	@$(RUN) -m bench.soak

image: dist/agent.pyz  ## the container image; BASE=<image with Python 3.9 or newer>, IMAGE=<name>
	docker build --build-arg BASE=$(BASE) --build-arg VERSION="$$($(PYTHON) dist/agent.pyz version | cut -d' ' -f2)" \
	  --build-arg REVISION="$$(git rev-parse HEAD 2>/dev/null || echo unknown)" -t $(IMAGE) .

dist/agent.pyz: $(DEV) FORCE
	$(RUN) build.py

release: $(DEV)  ## dist/agent.pyz from a clean commit, with bytecode for all of Python 3.9 to 3.13
	$(RUN) build.py --release

lock:  ## resolve the pins again, for Python 3.9 (gets uv into .cache)
	$(PYTHON) -m tools.lock

clean: stop  ## remove what was built and fetched; .run (the data of `make run`) stays
	$(PYTHON) -m tools.engines stop
	rm -rf dist .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis $(VENV)

FORCE:
