# Everything starts here: `make help` lists it. Each target sets up what it needs.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
BENCH_VENV ?= .venv-bench
BENCH_STAMP := $(BENCH_VENV)/.installed
OLDEST_VENV ?= .venv-oldest
OLDEST_STAMP := $(OLDEST_VENV)/.installed
PYTEST := $(BIN)/python -m pytest
UNIT := not interop and not chaos and not system

.DEFAULT_GOAL := help

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or later is needed; this is " + sys.version.split()[0] + ". Try make PYTHON=python3.11" if sys.version_info < (3, 11) else 0)'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@

$(BENCH_STAMP): pyproject.toml
	@test -x $(BENCH_VENV)/bin/python || $(PYTHON) -m venv $(BENCH_VENV)
	$(BENCH_VENV)/bin/python -m pip install --quiet --editable '.[bench]'
	@touch $@

$(OLDEST_STAMP): pyproject.toml tests/oldest.py
	@test -x $(OLDEST_VENV)/bin/python || $(PYTHON) -m venv $(OLDEST_VENV)
	$(OLDEST_VENV)/bin/python -m tests.oldest >$(OLDEST_VENV)/oldest.txt
	$(OLDEST_VENV)/bin/python -m pip install --quiet --constraint $(OLDEST_VENV)/oldest.txt --editable '.[dev]'
	@touch $@

.PHONY: install
install: $(STAMP) ## a virtual environment in .venv with pykiq and its tools

.PHONY: demo
demo: $(STAMP) ## recorded Ruby jobs through a real worker on a real server, in half a minute
	$(BIN)/python examples/demo/run.py

.PHONY: test
test: $(STAMP) ## all tests; those that need Ruby are skipped where there is none
	$(PYTEST) tests -m '$(UNIT)' -n 4
	$(PYTEST) tests -m system -n 2
	$(PYTEST) tests/interop
	$(PYTEST) tests/chaos

.PHONY: test-unit
test-unit: $(STAMP) ## the fast part: no real Ruby, no chaos, no programs that take seconds to start
	$(PYTEST) tests -m '$(UNIT)' -n 4

.PHONY: check
check: $(STAMP) ## ruff, strict mypy, pyright, the import arrows and the exported names
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(PYTEST) tests/test_arrows.py tests/test_public_names.py -q

.PHONY: format
format: $(STAMP) ## let ruff lay out the code
	$(BIN)/ruff check --fix --quiet .
	$(BIN)/ruff format --quiet .

.PHONY: ruby
ruby: ## install real Sidekiq 6.4, 7.3 and 8.1 from Debian's packages, for tests/interop (needs root)
	bash tests/interop/install.sh

.PHONY: fixtures
fixtures: $(STAMP) ## record the captures in compat_fixtures again, from whichever Sidekiq is installed
	$(BIN)/python -m compat_fixtures.recorder

.PHONY: bench
bench: $(BENCH_STAMP) ## pykiq and real Sidekiq side by side, some 45 minutes (needs `make ruby` once)
	$(BENCH_VENV)/bin/python -m benchmarks

.PHONY: test-redis
test-redis: $(STAMP) ## whatever talks to Redis, on Debian's redis-server instead of the wheel's Valkey
	PYKIQ_TEST_SERVER=redis-server $(PYTEST) tests -m 'server and not interop and not chaos' -n 2

.PHONY: dist
dist: $(STAMP) ## the wheel and the sdist, in dist/
	$(BIN)/python -m build --outdir dist .

.PHONY: test-dist
test-dist: $(STAMP) ## the demo with the wheel, and with the sdist, each in an empty environment
	PYTHON=$(abspath $(BIN)/python) sh tests/dist.sh

.PHONY: test-pythons
test-pythons: ## the fast tests on 3.13, 3.14 and free-threaded 3.13 (root; `make ruby` once); PYTHONS=forky: one of them
	sh tests/pythons.sh $(PYTHONS)

.PHONY: test-oldest
test-oldest: $(OLDEST_STAMP) ## the fast tests with the oldest dependencies that pyproject.toml allows
	$(OLDEST_VENV)/bin/python -m pytest tests -m '$(UNIT)' -n 4

.PHONY: soak
soak: $(STAMP) ## everything that can go wrong, at random: make soak MINUTES=10 [SEED=n]
	$(BIN)/python -m tests.chaos.soak --minutes $(or $(MINUTES),10) $(if $(SEED),--seed $(SEED))

.PHONY: bench-peers
bench-peers: $(BENCH_STAMP) ## pykiq and Sidekiq beside Python's other job systems, some twenty minutes (needs `make ruby` once)
	$(BENCH_VENV)/bin/python -m benchmarks.peers

.PHONY: clean
clean: ## remove the virtual environment and caches
	rm -rf $(VENV) $(BENCH_VENV) $(OLDEST_VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist
