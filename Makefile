# Four commands set everything up by themselves: `make demo`, `make test`, `make docs` and `make dist`.
PYTHON ?= python3
BIN := .venv/bin
# Images of containers often forbid Python to keep what it compiled: every process would then compile torch anew.
export PYTHONDONTWRITEBYTECODE :=
# One thread per process: two processes share two cores (see CONTRIBUTING).
TEST_ENV := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 MPLBACKEND=Agg

.PHONY: demo test browser suite check docs dist clean

demo: .venv/.installed
	$(BIN)/radiogenesis demo

# The checks run beside the tests: mypy takes over a minute of one core.
test: .venv/.installed
	$(MAKE) --no-print-directory --jobs=2 check suite

# Pages are tested in a browser. In a container that has none it is installed; where that is not allowed, and outside
# CI, those tests are skipped.
browser:
	@command -v chromium > /dev/null || command -v chromium-browser > /dev/null || command -v google-chrome > /dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get \
	  > /dev/null && apt-get update -qq && apt-get install -qq -y --no-install-recommends chromium > /dev/null; } || true

suite: .venv/.installed browser
	$(TEST_ENV) $(BIN)/pytest -n 2 --dist worksteal

check: .venv/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: .venv/.installed
	$(BIN)/python docs/build.py

# The sdist, the wheel from it, and whether they are whole and run. Twine is installed here alone: it brings a keyring.
dist: .venv/.installed
	rm -rf dist
	$(BIN)/python -m pip install --quiet twine
	$(BIN)/python -m build --no-isolation
	$(BIN)/twine check --strict dist/*
	$(BIN)/python .ci/check_dist.py dist

# Not compiled ahead: most of what torch and its like bring is never imported, and compiling it takes a minute.
.venv/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --no-compile --editable '.[dev]' --constraint constraints.txt
	touch $@

clean:
	rm -rf .venv build demo dist .mypy_cache .pytest_cache .ruff_cache
