# Every target works on a fresh machine with Python 3.11+, make and gcc; `make` alone lists them.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.cardhour-installed
DEMO_DATA ?= .demo
FAULT_ROUNDS ?= 30
FAULT_TESTS ?= tests/faults
COMPILE = uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
	--no-emit-index-url --no-emit-find-links

.DEFAULT_GOAL := help
.PHONY: help install demo test lint check faults bench bench-short lock clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | sort | expand -t 12

$(INSTALLED): requirements/dev.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@echo "compiling the clearing engine, once on a machine: about a minute"
	$(BIN)/python -m app.matching.core.warm
	@touch $@

install: $(INSTALLED) ## make .venv with the `cardhour` command, the engine compiled

demo: $(INSTALLED) ## the sample market: quotes, bookings, a report
	CARDHOUR_DATA_DIR="$(DEMO_DATA)" $(BIN)/cardhour demo

test: $(INSTALLED) ## the tests
	$(BIN)/python -m pytest -n auto

lint: $(INSTALLED) ## format, lint, types, import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/basedpyright --pythonpath $(BIN)/python
	PYTHONPATH=. $(BIN)/lint-imports --no-logo

check: lint test ## lint and test

faults: $(INSTALLED) ## kill clients, service, worker, solver and PostgreSQL under load and in clearings: nothing may be lost
	CARDHOUR_FAULT_ROUNDS=$(FAULT_ROUNDS) $(BIN)/python -m pytest -q -n auto $(FAULT_TESTS)

bench: $(INSTALLED) ## all benchmarks, as JSON, in about an hour; writes the engine's table into docs/benchmarks.md
	@$(BIN)/python benchmarks/all.py --scale full --markdown docs/benchmarks.md

bench-short: $(INSTALLED) ## benchmarks, as JSON, in about five minutes: the guard, the ledger, small clearings
	@$(BIN)/python benchmarks/all.py

lock: ## pin and hash the dependencies again (needs uv)
	$(COMPILE) pyproject.toml --extra fast --extra pdf --extra plot -o requirements/base.txt
	$(COMPILE) pyproject.toml --extra fast --extra pdf --extra plot --group dev -o requirements/dev.txt
	echo 'hatchling>=1.27' | $(COMPILE) - -o requirements/build.txt

clean: ## remove what was made here
	rm -rf $(VENV) $(DEMO_DATA) dist .ruff_cache .hypothesis .import_linter_cache app/matching/core/__pycache__
