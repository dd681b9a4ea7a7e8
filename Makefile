# The same commands for people and for CI. Each sets up what it needs.
PYTHON ?= python3
PRESET ?= quick
BIN    := .venv/bin

.PHONY: reproduce test check docs docs-text bench mutants sanitize wheel-test clean

# .venv holds the package, editable, with everything that its commands and tests need.
# Bytecode is written at once: where PYTHONDONTWRITEBYTECODE is set, as in many containers, each start would compile anew.
.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[lab,dev]'
	$(BIN)/python -m compileall -q src
	touch $@

reproduce: .venv/installed
	$(BIN)/steadynorm reproduce --preset $(PRESET) --output report.html

# A process a core, of one thread each.
test: .venv/installed
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 8 --dist worksteal

check: .venv/installed
	$(BIN)/ruff check --no-cache .
	$(BIN)/ruff format --no-cache --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_architecture.py

# Whatever the documents have from records, docstrings and the story; RUN=runs/claims/… takes the records of a run over.
docs-text: .venv/installed
	$(BIN)/python -m tools.docs $(if $(RUN),--from $(RUN))

# The site, in build/site: strictly, so that a link that leads nowhere or a name that is unknown ends it.
docs: .venv/installed
	PYTHONPATH=. NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

bench: .venv/installed
	$(BIN)/python -m benchmarks

mutants: .venv/installed
	$(BIN)/python tools/mutants.py

# The kernels built with AddressSanitizer and UndefinedBehaviorSanitizer, over the shapes and layouts of their tests.
# libstdc++ beside libasan, since Python does not bring it and torch's errors are C++ exceptions.
sanitize: .venv/installed
	CXX='c++ -fsanitize=address,undefined -fno-sanitize-recover=all' XDG_CACHE_HOME=$(CURDIR)/build/sanitize \
	LD_PRELOAD="$$(c++ -print-file-name=libasan.so) $$(c++ -print-file-name=libstdc++.so.6)" \
	ASAN_OPTIONS=detect_leaks=0 $(BIN)/python -m pytest --capture=sys tests/kernels/test_operators.py

wheel-test: .venv/installed
	$(BIN)/python tools/wheel_test.py

clean:
	rm -rf .venv build dist .pytest_cache .hypothesis .mypy_cache .ruff_cache
