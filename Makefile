# The same commands for people and for CI. Each sets up what it needs.
PYTHON ?= python3
PRESET ?= quick
BIN    := .venv/bin

.PHONY: reproduce test check tables bench mutants wheel-test clean

# .venv holds the package, editable, with everything that its commands and tests need.
.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[lab,dev]'
	touch $@

reproduce: .venv/installed
	$(BIN)/steadynorm reproduce --preset $(PRESET) --output report.html

test: .venv/installed
	$(BIN)/python -m pytest

check: .venv/installed
	$(BIN)/ruff check --no-cache .
	$(BIN)/ruff format --no-cache --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_architecture.py

# README's tables, from the records in results/.
tables: .venv/installed
	$(BIN)/python tools/readme_tables.py

bench: .venv/installed
	$(BIN)/python -m benchmarks

mutants: .venv/installed
	$(BIN)/python tools/mutants.py

wheel-test: .venv/installed
	$(BIN)/python tools/wheel_test.py

clean:
	rm -rf .venv build dist .pytest_cache .hypothesis .mypy_cache .ruff_cache
