# Everything a clone needs comes from here: `make demo` and `make test` set up `.venv` by themselves.
# Needed beforehand: Python 3.11, 3.12 or 3.13 with its venv module, and make. PYTHON=... picks one.

VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
LOCKED := requirements-dev.lock
BENCH := benchmarks/.venv
BENCH_STAMP := $(BENCH)/.installed
export TF_CPP_MIN_LOG_LEVEL ?= 3
# Many short processes import the same modules: they compile them once.
unexport PYTHONDONTWRITEBYTECODE

# One process more than the two cores of a small machine: tests wait for servers and workers about a third of their time.
PYTEST_WORKERS ?= 3
KILLS ?= 200
# The theme prints a notice on MkDocs 2, which the lock does not hold.
MKDOCS := NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs
# Nothing runs the benchmarks in a check, so their types show a call that has changed. Peers come without types.
LOOSE := --follow-imports silent --no-warn-return-any --allow-untyped-calls --disable-error-code import-untyped \
	--disable-error-code import-not-found
TESTS := scripts/run_tests.sh $(BIN) $(PYTEST_WORKERS)

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-slow chaos check docs docs-site dist lock image-check bench-fleets bench-overhead bench-ask-in-flight bench-search bench-service bench-scale clean

help: ## Show what make can do.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-20s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

setup: $(STAMP) ## Create .venv with the locked dependencies and this project.

$(STAMP): $(LOCKED) pyproject.toml
	@scripts/setup_venv.sh $(VENV) $(LOCKED)
	@touch $@

demo: $(STAMP) ## Run a real study from its file to an exported model.
	scripts/demo.sh $(BIN)

test: $(STAMP) ## Run the tests but for the long ones, which `make check` runs too.
	$(TESTS) -m "not slow and not long"

test-slow: $(STAMP) ## Run the tests that are too slow for `make test`.
	$(TESTS) -m slow

chaos: $(STAMP) ## Break studies in every way: the slow tests of faults, then KILLS=200 random kills; ARGS="--store postgresql".
	$(BIN)/python -m pytest -m slow -rA --durations 0 tests/faults
	$(BIN)/python tests/faults/chaos.py --kills $(KILLS) $(ARGS)

# The long tests are left out of the coverage: measured, the processes that they start take half as long again.
check: $(STAMP) ## Format, lint, types, layers, spelling, the docs site, the tests with their coverage, and the long tests.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/mypy $(LOOSE) benchmarks/*.py scripts/*.py
	$(BIN)/lint-imports
	$(BIN)/codespell
	$(BIN)/python scripts/tidy_files.py --check
	$(MKDOCS) build --strict
	COVERAGE_FILE="$(CURDIR)/.coverage" $(TESTS) -m "not slow and not long" --cov --cov-report=term
	$(TESTS) -m "long and not slow"

lock: $(STAMP) ## Write the lock files anew; UPGRADE=1 takes the newest releases.
	scripts/lock.sh $(BIN) $(if $(UPGRADE),--upgrade)

docs: $(STAMP) ## Write the generated parts of the pages anew.
	$(BIN)/python scripts/write_reference.py

docs-site: $(STAMP) ## Build the pages as a site into site/.
	$(MKDOCS) build --strict

dist: $(STAMP) ## Build the sdist, and the wheel from it, into dist/.
	rm -rf dist
	$(BIN)/python -m uv build --no-build-isolation --out-dir dist

image-check: $(STAMP) ## Build the images, run a study in one, serve its model, run the services of compose.yaml.
	docker/check_image.sh $(BIN)/python

bench-fleets: $(STAMP) $(BENCH_STAMP) ## Measure trials per hour beside other tools; ARGS="--runs 1" and the like.
	$(BIN)/python benchmarks/fleets.py $(ARGS)

bench-overhead: $(STAMP) ## Measure one long trial beside a plain script with model.fit and MLflow; ARGS="--runs 1" and the like.
	$(BIN)/python benchmarks/overhead.py $(ARGS)

bench-service: $(STAMP) ## Measure the service: latency, followers, and a day of small studies (STUDIES=5000).
	$(BIN)/python benchmarks/service_load.py --idle
	$(BIN)/python benchmarks/service_followers.py
	$(BIN)/python benchmarks/service_day.py --studies $(or $(STUDIES),5000)

bench-scale: $(STAMP) ## Simulate a supervisor with 10, 100 and 1,000 workers; ARGS="--workers 50 --sampler tpe" and the like.
	$(BIN)/python benchmarks/simulate_scale.py $(ARGS)

bench-ask-in-flight: $(BENCH_STAMP) ## Measure what asking for many trials at once costs; FOLDER= holds the surrogate.
	$(BENCH)/bin/python benchmarks/ask_in_flight.py $(FOLDER) $(ARGS)

bench-search: $(BENCH_STAMP) ## Measure searches beside other tools; FOLDER= holds the surrogate, SEEDS=, SAMPLERS= and the like narrow it.
	OMP_NUM_THREADS=1 PYTHONPATH=. $(BENCH)/bin/python benchmarks/search.py $(FOLDER) \
	    $(foreach name,TASKS SEEDS TRIALS EPOCHS WORKERS SAMPLERS PRUNERS STARTS CLOCK,$(if $($(name)),--$(shell echo $(name) | tr A-Z a-z) "$($(name))")) $(ARGS)
	$(BENCH)/bin/python benchmarks/search_report.py

$(BENCH_STAMP): benchmarks/requirements.txt
	$(BIN)/python -m venv $(BENCH)
	$(BENCH)/bin/python -m pip --disable-pip-version-check install -qq -r $<
	@touch $@

clean: ## Remove .venv, caches and what the demo wrote.
	rm -rf $(VENV) .kerastudy exported site build dist *.egg-info .coverage* .mypy_cache .ruff_cache .pytest_cache \
	    .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
