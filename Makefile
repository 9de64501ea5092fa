# Everything a checkout needs; `make help` lists it. Each target sets up what it uses.

PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.13 || command -v python3)
BIN := .venv/bin
READY := .venv/ready
# Further arguments to pytest, the soak or the bench: `make test ARGS='tests/codec -x'`.
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup proto docs format check test soak demo bench clean

help: ## This list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) ## A .venv with dsync and all that development needs

$(READY): pyproject.toml
	@test -n "$(PYTHON)" || { echo "no Python 3.11 or later on PATH; set PYTHON=/path/to/python3.11" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11) and "$(PYTHON) is older than 3.11; set PYTHON=/path/to/python3.11")'
	test -x $(BIN)/python || "$(PYTHON)" -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

# protoc finds its plug-ins by PATH
proto check: export PATH := $(CURDIR)/$(BIN):$(PATH)

proto: $(READY) ## Generates dsync/wire/gen from proto/
	$(BIN)/python tools/generate.py

docs: $(READY) ## Writes the generated parts of README.md and docs/
	$(BIN)/python -m tools.docs

format: $(READY) ## Formats the code and mends what ruff can mend
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

check: $(READY) ## Format, lint, types, import layers, generated code and docs fresh
	$(BIN)/ruff format --check --quiet
	$(BIN)/ruff check --quiet
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tools/generate.py --check
	$(BIN)/python -m tools.docs --check

test: $(READY) ## All tests, with a mongod and an S3 server of their own
	$(BIN)/python -m pytest -n 2 $(ARGS)

soak: $(READY) ## Kills, cuts and faults in full numbers, for hours; ARGS='--minutes 60 --seed 1' for a part
	$(BIN)/python -m tests.trials.soak $(ARGS)

demo: $(READY) ## Converts files of test_data before your eyes; MongoDB too where a mongod is found
	$(BIN)/python -m tools.demo

bench: $(READY) ## Times dsync beside the loops one would write by hand
	$(BIN)/python -m bench $(ARGS)

clean: ## Removes what the targets made
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache demo-out
