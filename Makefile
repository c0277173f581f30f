# Every command anyone runs. Bare `make` lists them.
SHELL := /bin/bash
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help setup test lint clean

help:  ## list the targets
	@grep -hE '^[a-z][a-z-]*:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

$(VENV)/.ready: pyproject.toml codecs/CMakeLists.txt $(wildcard codecs/csrc/*)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q --disable-pip-version-check "scikit-build-core>=1.0" "nanobind>=2.4" cmake ninja
	$(BIN)/pip install -q --disable-pip-version-check --no-build-isolation -e ".[service,dev]"
	touch $@

setup: $(VENV)/.ready  ## virtual environment with the native core, everything editable

test: setup  ## lint, types, and all tests that need no GPU
	$(BIN)/ruff check .
	$(BIN)/python -m pytest -q

lint: setup  ## ruff, mypy, import contracts
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

clean:  ## remove what the build made
	rm -rf build $(VENV)
