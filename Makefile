# Three commands set everything up by themselves: `make demo`, `make test` and `make docs`.
PYTHON ?= python3
BIN := .venv/bin
# Images of containers often forbid Python to keep what it compiled: every process would then compile torch anew.
export PYTHONDONTWRITEBYTECODE :=
# One thread per process: two processes share two cores (see CONTRIBUTING).
TEST_ENV := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 MPLBACKEND=Agg

.PHONY: demo test suite check docs clean

demo: .venv/.installed
	$(BIN)/radiogenesis demo

# The checks run beside the tests: mypy takes over a minute of one core.
test: .venv/.installed
	$(MAKE) --no-print-directory --jobs=2 check suite

suite: .venv/.installed
	$(TEST_ENV) $(BIN)/pytest -n 2 --dist worksteal

check: .venv/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: .venv/.installed
	$(BIN)/python docs/build.py

# Not compiled ahead: most of what torch and its like bring is never imported, and compiling it takes a minute.
.venv/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --no-compile --editable '.[dev]' --constraint constraints.txt
	touch $@

clean:
	rm -rf .venv demo .mypy_cache .pytest_cache .ruff_cache
