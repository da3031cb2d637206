# The front door: `make help` lists what there is.
MAKEFLAGS += --warn-undefined-variables --no-builtin-rules
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

OUT ?= out
EVENTS ?= 1000
PYTEST ?=
HEPSPARK := .venv/bin/hepspark
CONF := training/conf/local.yaml
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/hepspark
# Paths in the configuration are below OUT, so that OUT=elsewhere moves them all.
LOCAL := $(CONF) --set ingest.output=$(OUT)/dataset --set 'train.input=[tests/data/sample,$(OUT)/dataset]' \
	--set train.output=$(OUT)/run --set evaluate.model=$(OUT)/run/model --set evaluate.output=$(OUT)/report

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.venv/.ready: pyproject.toml requirements/all.txt requirements/bigdl.txt tools/setup.sh
	@tools/setup.sh

.PHONY: setup
setup: .venv/.ready ## Install everything that the other targets need into .venv

.PHONY: train
train: setup ## Ingest ROOT files, train the HLF classifier, evaluate it; results in OUT (out/)
	@$(HEPSPARK) ingest $(LOCAL) >/dev/null
	@$(HEPSPARK) train $(LOCAL) >/dev/null
	@$(HEPSPARK) evaluate $(LOCAL) >/dev/null

.PHONY: simulate
simulate: setup ## Simulate EVENTS (1000) events of each class into OUT/events
	@$(HEPSPARK) simulate --set simulate.output=$(OUT)/events --set simulate.events=$(EVENTS) >/dev/null

.PHONY: test
test: setup ## Run all tests (PYTEST='-k name' for some)
	@tools/minio.sh >/dev/null
	@.venv/bin/pytest --numprocesses 2 --dist loadfile $(PYTEST)

.PHONY: test-fast
test-fast: setup ## Run the tests that need neither Java nor a server: seconds
	@.venv/bin/pytest tests/unit tests/contract $(PYTEST)

.PHONY: check
check: lint types imports ## Everything that reads the code: lint, types, imports

.PHONY: lint
lint: setup ## Check style and formatting
	@.venv/bin/ruff check
	@.venv/bin/ruff format --check

.PHONY: types
types: setup ## Check types (mypy --strict)
	@.venv/bin/mypy

.PHONY: imports
imports: setup ## Check which module may import which
	@.venv/bin/lint-imports

.PHONY: format
format: setup ## Bring the code into its format
	@.venv/bin/ruff check --fix
	@.venv/bin/ruff format

.PHONY: bench
bench: setup ## Measure speed and accuracy against references, in one table each; JSON in OUT/bench
	@.venv/bin/python -m benchmarks.run --output $(OUT)/bench

.PHONY: lock
lock: setup ## Resolve the requirements again
	@tools/lock.sh

.PHONY: clean
clean: ## Remove the results and the environment; the cache in ~/.cache/hepspark stays
	@rm -rf $(OUT) .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

.PHONY: clean-cache
clean-cache: ## Remove the cache too; what is needed again is fetched again
	@rm -rf $(CACHE)
