# Every target prepares .venv by itself; nothing but python3 (3.11 or newer) is needed.
VENV := .venv
BIN := $(VENV)/bin
# An environment whose interpreter has gone is none.
$(shell [ -x $(BIN)/python ] || rm -rf $(VENV))
# An interpreter that is named is used, also where .venv was made with another one.
ifeq ($(origin PYTHON),undefined)
PYTHON := python3
INTERPRETER := $(BIN)/python
else
INTERPRETER := $(VENV)/.made-with-$(shell $(PYTHON) -c 'import sys; print(*sys.version_info[:2], sep=".")')
endif
# Two workers more than there are cores: tests wait for processes and browsers, too.
PYTEST := $(BIN)/python -m pytest -n $(shell $(PYTHON) -c 'import os; print(2 + (os.cpu_count() or 1))') --dist worksteal
# Tests start a hundred processes: each would compile everything anew.
unexport PYTHONDONTWRITEBYTECODE
.DEFAULT_GOAL := help
.PHONY: help run test check docs dist mutants explore chaos trial bench bench-size bench-wear soak screenshots fmt lock clean

help: ## Show this help
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: $(VENV)/.run ## Serve on an embedded Postgres at http://localhost:5000/jobs
	$(BIN)/scheduler-api serve

test: $(VENV)/.dev ## Run the tests, on an embedded Postgres or on SCHEDULER_TEST_DATABASE_URL
	$(PYTEST) $(PYTEST_ARGS)

check: $(VENV)/.dev ## Everything that must hold: format, lint, types, import contract, files, tests, coverage
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/hadolint Dockerfile scripts/trial/stand-ins.Containerfile
	POSTGRES_PASSWORD=x SECRET_KEY=x $(BIN)/docker-compose --file compose.yaml --file deploy/compose.oidc.yaml \
		--profile '*' config --quiet
	POSTGRES_PASSWORD=x SECRET_KEY=x ANNAS_PASSWORD=x BENS_PASSWORD=x $(BIN)/docker-compose --file compose.yaml \
		--file deploy/compose.proxy.yaml config --quiet
	$(MAKE) docs
	$(BIN)/python -m coverage erase
	$(MAKE) test PYTEST_ARGS='--cov --cov-report='
	$(BIN)/python -m coverage report --skip-covered

docs: $(VENV)/.dev ## Build the documentation site into site/; a broken link is an error
	$(BIN)/zensical build --strict --clean

dist: $(VENV)/.dev ## Build the service and its Python client, wheels and sources, into dist/
	rm -rf dist
	$(BIN)/python -m hatchling build --directory $(CURDIR)/dist
	cd clients/python && $(abspath $(BIN))/python -m hatchling build --directory $(CURDIR)/dist

fmt: $(VENV)/.dev ## Format the code and mend what the linter can
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

chaos: $(VENV)/.dev ## Harm replicas, database and network for 3 minutes; account for every run (CHAOS_ARGS='--seed 1 2 3')
	$(BIN)/python -m tests.chaos $(CHAOS_ARGS)

trial: $(VENV)/.dev ## Build the image and try compose for real: kill, stop, restart under load (about 5 minutes)
	scripts/compose_trial.sh

mutants: $(VENV)/.dev ## Plant bugs on purpose and see that the tests catch each (about 7 minutes)
	$(BIN)/python scripts/mutants.py

explore: $(VENV)/.dev ## Let the stateful tests try 2,000 jobs each: a night's work (EXAMPLES=100: some minutes)
	SCHEDULER_TEST_EXAMPLES=$(or $(EXAMPLES),2000) $(BIN)/python -m pytest -n 2 --timeout 0 $(EXPLORED)

bench: $(VENV)/.dev ## Measure speed, as ratios within one run (about 30 minutes)
	$(BIN)/python -m benchmarks

bench-size: $(VENV)/.dev ## Measure every list and page among a million jobs (some 5 minutes, 6 GB of disk)
	$(BIN)/python -m benchmarks size

bench-wear: $(VENV)/.dev ## Measure what a quarter of an hour of 2,000 runs a second leaves behind
	$(BIN)/python -m benchmarks wear

soak: $(VENV)/.dev ## Let two replicas make a thousand calls a minute for two hours, and see that they stay as they were
	$(BIN)/python -m benchmarks soak

screenshots: $(VENV)/.dev ## Take pictures of all pages, into docs/screenshots (needs Chromium)
	$(BIN)/python -m scripts.screenshots

lock: ## Renew the lock files (needs uv)
	uv pip compile $(LOCK) -o requirements/run.lock --extra cells --extra otel
	uv pip compile $(LOCK) -o requirements/embedded.lock -c requirements/run.lock --extra cells --extra embedded --extra otel --group build
	uv pip compile $(LOCK) -o requirements/dev.lock -c requirements/embedded.lock --extra cells --extra embedded --extra otel --group dev

clean: ## Remove .venv and what tools left behind
	rm -rf $(VENV) dist site .cache .coverage* .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

EXPLORED := tests/services/test_model.py tests/services/test_horizon.py tests/services/test_bounds.py -k 'the_model or exceeds_a_bound'
LOCK := --universal --python-version 3.11 --generate-hashes --no-header --no-annotate pyproject.toml
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --no-deps

$(INTERPRETER):
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; name one: make PYTHON=python3.12 …")'
	$(PYTHON) -m venv --clear $(VENV)
	[ -e $@ ] || touch $@

$(VENV)/.run: $(INTERPRETER) requirements/embedded.lock pyproject.toml
	$(PIP) --require-hashes -r requirements/embedded.lock
	$(PIP) --no-build-isolation --editable .
	touch $@

$(VENV)/.dev: $(VENV)/.run requirements/dev.lock
	$(PIP) --require-hashes -r requirements/dev.lock
	touch $@
