# A newcomer needs two of these: `make demo` and `make test`.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: help demo test test-all bounds lint bench weights clean

help:
	@echo "make demo      install accelsim into $(VENV) and write reports/demo/"
	@echo "make test      lint, types, and the test suite (also once with bounds checks)"
	@echo "make test-all  the same, with the exhaustive and slow tests"
	@echo "make bench     measure speed, against those of the named peers that are installed"
	@echo "make weights   train the networks in workloads/ again"
	@echo "make clean     remove what these made, but not the reports"

$(VENV)/installed: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("accelsim needs Python 3.11 or later") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --editable .
	touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(BIN)/pip install --quiet --editable '.[dev]'
	touch $@

demo: $(VENV)/installed
	$(BIN)/accelsim demo

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Compiled code does not check its indices unless it is told to, and keeps what it compiled apart.
# These tests run every kind of kernel; `make test-all` takes all of those of the numerics.
BOUNDS := $(addprefix tests/numerics/test_,orders.py tiles.py lanes.py haste.py)
bounds: $(VENV)/installed-dev
	NUMBA_BOUNDSCHECK=1 NUMBA_CACHE_DIR=.numba_cache_bounds $(BIN)/pytest -q -n 2 -m 'not slow' $(BOUNDS)

test: lint
	$(BIN)/pytest -q -n 2 -m 'not slow' tests
	$(MAKE) bounds

test-all: lint
	ACCELSIM_EVERY_EXAMPLE=1 $(BIN)/pytest -q -n 2 tests
	$(MAKE) bounds BOUNDS=tests/numerics

bench: $(VENV)/installed-dev
	$(BIN)/python -m benchmarks

weights: $(VENV)/installed
	$(BIN)/python workloads/train.py

clean:
	rm -rf $(VENV) .numba_cache* .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist
