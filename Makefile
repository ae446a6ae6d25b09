# The same commands as in README.md and .ci/run, one word each.
PYTHON ?= python3.11
BIN := .venv/bin

.PHONY: setup test-fast test slow gpu lint types check benchmarks

setup: .venv/installed

.venv/installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt torch
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[all,demo,dev]"
	mkdir -p .umbrella && ln -sfn .. .umbrella/talkover
	touch $@

test-fast: setup
	$(BIN)/python -m pytest -q -n 2 -m "not slow and not gpu and not medium"

test: setup
	$(BIN)/python -m pytest -q -n 2

slow: setup
	$(BIN)/python -m pytest -q -m slow

gpu: setup
	$(BIN)/python -m pytest -q -m gpu

lint: setup
	$(BIN)/ruff check . && $(BIN)/ruff format --check .

types: setup
	$(BIN)/mypy

check: lint types test

benchmarks: setup
	$(BIN)/python benchmarks/simulate.py
