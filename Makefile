SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
BIN := .venv/bin
DATA := data/flights
TARGET := local://flights
SPAN ?= 6
WINDOW ?= $(SPAN)
export UV_COMPILE_BYTECODE := 1

QUERY := SELECT * EXCLUDE (year, flight, arr_delay), arr_delay > 15 AS late FROM source WHERE arr_delay IS NOT NULL
RUN := $(BIN)/mainspring run continuous_training -p source='$(DATA)/flights-2013-{SPAN}.parquet' \
	-p query='$(QUERY)' -p label=late -p target=$(TARGET)

# Locks: one for each environment, for every platform, with hashes.
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.10 --generate-hashes --no-header

.PHONY: help setup run demo test test-all images test-images test-cluster sbom audit bench bench-models lint compile docs lock clean

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
	$(COMPILE) requirements-test.in --output-file requirements-test.txt
	$(COMPILE) docs/requirements.in --output-file docs/requirements.txt
	$(COMPILE) --no-deps components/common/requirements.in --output-file components/common/requirements.txt
	$(COMPILE) components/common/requirements-image.in --output-file components/common/requirements-image.txt
	for input in $(filter-out components/common/%,$(wildcard components/*/requirements*.in)); do \
		$(COMPILE) $$input --output-file $${input%.in}.txt; done

run: setup ## Train and serve on real data: one continuous-training run (SPAN=7 for the next month)
	@$(BIN)/mainspring example flights $(DATA) > /dev/null
	@$(RUN) -p span=$(SPAN) -p window=$(WINDOW)

demo: setup ## The story: a champion, a challenger, a poisoned month refused; then a year of live traffic, three ways
	@$(BIN)/python -m mainspring.pipelines.examples.demo

test: setup ## Run the tests, each component's in its own environment, side by side (SUITES="training serving" for some)
	@$(BIN)/python tests/run_in_environments.py $(SUITES)

test-all: setup ## Run what a release runs: the tests with every kill and every mutation, not a fixed sample of them
	@MAINSPRING_TESTS=all $(BIN)/python tests/run_in_environments.py $(SUITES)

images: $(BIN)/.ready ## Build the images (IMAGES="training serving" BASE=... BUILDER=...); PUSH=1 REGISTRY=host/path publishes them
	@$(BIN)/mainspring images build $(IMAGES) --base "$(BASE)" --builder "$(BUILDER)" \
		$(if $(PUSH),--push) --registry "$(REGISTRY)" $(IMAGE_OPTIONS)

test-images: setup ## Run the whole pipeline in the built images, with Docker or Podman, and compare with the process engine
	@$(BIN)/python -m pytest tests/containers

test-cluster: setup ## Deploy, train and tune on real controllers built from Go modules (KSERVE="0.16", TRAINER="2.3" for some, none for none; needs Go, etcd, root)
	@$(BIN)/python -m pytest tests/cluster --kserve "$(KSERVE)" --trainer "$(TRAINER)"

sbom: $(BIN)/.ready ## Write the built images' bills of materials (CycloneDX) and licences into dist/sbom
	@$(BIN)/mainspring images sbom $(IMAGES) --builder "$(BUILDER)"

audit: $(BIN)/.ready ## Look for known vulnerabilities in every lock (status 3: not everything could be asked about)
	@$(BIN)/mainspring images audit $(AUDIT_OPTIONS)

bench: setup ## Measure the loop on the flights, beside what is wanted of it (TFX=1: TFX's path as well)
	@$(BIN)/python -m tests.benchmarks.loop_bench
	@$(BIN)/python -m tests.benchmarks.data_bench $(if $(TFX),--tfx)
	@$(BIN)/python -m tests.benchmarks.evaluation_bench
	@$(BIN)/python -m tests.benchmarks.monitoring_bench
	@$(BIN)/python -m tests.benchmarks.serving_bench
	@$(BIN)/python -m tests.benchmarks.cold_start_bench

bench-models: $(BIN)/.ready ## Measure model=auto beside scikit-learn's HistGradientBoosting on public tables
	@$(BIN)/python -m tests.benchmarks.model_sweep

lint: $(BIN)/.ready ## Check style, types, and who imports whom
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet . || { echo "run: .venv/bin/ruff format ." >&2; exit 1; }
	@root=$$($(BIN)/python -c 'from mainspring.pipelines.environments import import_root; print(import_root())') && \
		cd $$root && MYPYPATH=$$root $(CURDIR)/$(BIN)/mypy --config-file $(CURDIR)/pyproject.toml --cache-dir $(CURDIR)/.mypy_cache -p mainspring && \
		PYTHONPATH=$$root $(CURDIR)/$(BIN)/lint-imports --no-logo $(CURDIR)/pyproject.toml

compile: $(BIN)/.ready ## Write the compiled components and pipelines (CHECK=1: only check that they are current)
	@$(BIN)/python -m mainspring.pipelines.compiling.kfp_yaml $(if $(CHECK),--check)
	@$(BIN)/python -m mainspring.pipelines.reference_pages $(if $(CHECK),--check)

docs: $(BIN)/.ready ## Build the documentation's site into site/; a dead link fails (SERVE=1 shows it while you write)
	@[ -x .venv-docs/bin/python ] || $(BIN)/uv venv --quiet .venv-docs
	@$(BIN)/uv pip sync --quiet --require-hashes --python .venv-docs/bin/python docs/requirements.txt
	@NO_MKDOCS_2_WARNING=1 .venv-docs/bin/mkdocs --quiet $(if $(SERVE),serve,build --strict)
	@echo "site/index.html"

clean: ## Stop this folder's endpoints and remove environments, example data and runs
	@for root in .mainspring .mainspring-demo; do \
		[ -d $$root/endpoints ] || continue; \
		[ -x $(BIN)/mainspring ] || { echo "$$root has endpoints, and .venv is gone; stop them first: make setup, then make clean" >&2; exit 1; }; \
		find $$root -path '*/endpoints/*/endpoint.json' -not -path '*/runs/*' | sed 's|/endpoints/[^/]*/endpoint.json$$||' | sort -u | \
			while read -r at; do $(BIN)/mainspring endpoints stop --all --root "$$at"; done; done
	rm -rf .venv .venvs .venv-docs site .mainspring .mainspring-demo data build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
