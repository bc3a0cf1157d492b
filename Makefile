SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
BIN := .venv/bin
DATA := data/flights
TARGET := local://flights
export UV_COMPILE_BYTECODE := 1

QUERY := SELECT * EXCLUDE (year, flight, arr_delay), arr_delay > 15 AS late FROM source WHERE arr_delay IS NOT NULL
RUN := $(BIN)/mainspring run continuous_training -p source='$(DATA)/flights-2013-{SPAN}.parquet' \
	-p query='$(QUERY)' -p label=late -p target=$(TARGET)

# Locks: one for each environment, for every platform, with hashes.
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.10 --generate-hashes --no-header
LOCKS := requirements.txt requirements-dev.txt components/common/requirements.txt \
	$(patsubst %.in,%.txt,$(wildcard components/*/requirements*.in))

.PHONY: help setup run test lint compile lock clean

help: ## Show this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(BIN)/.ready ## Build the authoring environment and the components' environments
	@$(BIN)/mainspring setup

$(BIN)/.ready: requirements-dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "Python 3.10 or newer is needed; this is " + sys.version.split()[0] + ". Say which: make PYTHON=python3.11 ...")'
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "Python's venv module is needed (Debian and Ubuntu: apt-get install python3-venv)" >&2; exit 1; }
	@echo "authoring environment: .venv (first time only)"
	@[ -x $(BIN)/python ] || $(PYTHON) -m venv .venv
	@[ -x $(BIN)/uv ] || $(BIN)/python -m pip install --quiet --disable-pip-version-check "$$(grep -o '^uv==[0-9.]*' requirements-dev.txt)"
	@$(BIN)/uv pip sync --quiet --require-hashes --python $(BIN)/python requirements-dev.txt
	@$(BIN)/uv pip install --quiet --no-deps --python $(BIN)/python --editable .
	@touch $@

lock: ## Write the locks anew from pyproject.toml and the requirements.in files
	$(COMPILE) pyproject.toml --all-extras --output-file requirements.txt
	$(COMPILE) pyproject.toml --all-extras --group dev --output-file requirements-dev.txt
	$(COMPILE) --no-deps components/common/requirements.in --output-file components/common/requirements.txt
	for input in $(filter-out components/common/%,$(wildcard components/*/requirements*.in)); do \
		$(COMPILE) $$input --output-file $${input%.in}.txt; done
