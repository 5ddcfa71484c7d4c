# Everything runs in a virtual environment of its own: a machine with Python and make is enough.
#
#   make demo     the main job: the questions, answered by programs running here
#   make test     the tests                 (PYTEST_ARGS="-k name -x" to choose)
#   make check    format, lint, types, import contracts
#   make bench    this library and its peers, side by side   (BENCH_ARGS="--only map --quick")
#   make soak     kill workers for MINUTES (5) and count what was lost: nothing   (SOAK_ARGS="--methods spawn")
#   make format   let ruff put the files in order
#   make clean    remove what the other targets made
#
# PYTHON chooses the interpreter, VENV the folder: make test PYTHON=python3.12 VENV=.venv-3.12

PYTHON ?= python3
VENV ?= .venv
PYTEST_ARGS ?=
BENCH_ARGS ?=
MINUTES ?= 5
SOAK_ARGS ?=

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet --quiet
CODE := $(wildcard src tests examples benchmarks)

.DEFAULT_GOAL := help
.PHONY: help demo test check bench soak format clean setup-dev setup-test

help:
	@sed -n 's/^#   //p' Makefile

# One stamp per set of extras: installed again when pyproject.toml changes.
$(VENV)/.made:
	@echo "making $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv --clear $(VENV)
	@touch $@

$(VENV)/.has-%: pyproject.toml | $(VENV)/.made
	@echo "installing phalanx[$*] into $(VENV)"
	@$(PIP) install --editable '.[$*]'
	@touch $@

setup-dev: $(VENV)/.has-dev

setup-test: $(VENV)/.has-test

demo: $(VENV)/.has-cli
	@$(BIN)/phalanx demo

test: $(VENV)/.has-test
	@$(BIN)/python -m pytest $(PYTEST_ARGS)

check: $(VENV)/.has-dev
	@$(BIN)/ruff format --check --quiet $(CODE) || { echo "not formatted: run 'make format'"; exit 1; }
	@$(BIN)/ruff check --quiet $(CODE)
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache --no-logo

# The peers were compiled when they were installed; an editable install is not.
bench: $(VENV)/.has-bench
	@$(BIN)/python -m compileall -q src benchmarks
	@$(BIN)/python -m benchmarks $(BENCH_ARGS)

soak: $(VENV)/.has-test
	@$(BIN)/python -m tests.soak --minutes $(MINUTES) $(SOAK_ARGS)

format: $(VENV)/.has-dev
	@$(BIN)/ruff format $(CODE)
	@$(BIN)/ruff check --fix $(CODE)

clean:
	@rm -rf $(VENV) .venv-3.* build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	@find src tests -name __pycache__ -type d -prune -exec rm -rf {} +
