# Two commands do all the set-up: `make demo` and `make test`.
# They need Python 3.11 to 3.13, make and git; neither root nor system packages.

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
PYTHON ?=
OPTIMISED := sys.base_prefix == '/usr' or '--enable-optimizations' in str(sysconfig.get_config_var('CONFIG_ARGS'))
DEMO ?=
TESTS ?=

# One thread per process: dispatch problems are small, and threads only fight over the cores.
export OMP_NUM_THREADS := 1
export PIP_NO_INPUT := 1

.DEFAULT_GOAL := help
.PHONY: help demo test check bench lock clean run-install dev-install volttron-install

help:
	@echo "make demo    install, run eight cycles on the simulated plant; on a terminal serve its page"
	@echo "make test    install, then run the checks and all tests (TESTS='tests/unit -k tariff')"
	@echo "make check   lint, format, types, import contracts"
	@echo "make bench   the benchmarks, with their tables"
	@echo "make lock    resolve the dependencies again (needs uv)"
	@echo "make clean   remove what was built, the environment too"

demo: run-install
	@if test -n "$(DEMO)"; then $(BIN)/geems demo $(DEMO); else \
	  $(BIN)/geems demo --cycles 8 --speed max && if test -t 0 && test -t 1; then $(BIN)/geems demo; fi; fi

# These measure, so they have the machine to themselves.
MEASURED := tests/bench/test_bench_decision.py tests/bench/test_bench_service.py

# A worker per processor, at most four: each holds a gigabyte or two, and tests that wait for
# sockets and clocks leave room for the other workers' anyhow. One that has done its half takes
# from the rest of another's.
test: check volttron-install
	$(BIN)/python -m pytest -n logical --maxprocesses=4 --dist=worksteal $(TESTS)
	$(if $(TESTS),,$(BIN)/python -m pytest $(MEASURED))

check: dev-install
	$(BIN)/ruff check --quiet .
	$(BIN)/ruff format --check --quiet .
	$(BIN)/mypy --no-error-summary
	$(BIN)/lint-imports --no-cache > $(VENV)/.lint-imports || { cat $(VENV)/.lint-imports; exit 1; }

bench: dev-install
	$(BIN)/python -m pytest tests/bench -s

lock:
	.lock/relock.sh

clean:
	rm -rf $(VENV) dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# --- installation ---------------------------------------------------------------------
# The development lock holds every package of the running one at the same version, so an
# environment made for the tests serves the demo too.

run-install:
	@test -e $(VENV)/.dev || $(MAKE) --no-print-directory $(VENV)/.run
	@test ! -e $(VENV)/.dev || $(MAKE) --no-print-directory $(VENV)/.dev

dev-install: $(VENV)/.dev

$(VENV)/.run $(VENV)/.dev: $(VENV)/.%: .lock/%.txt pyproject.toml | $(BIN)/python
	@echo "installing the packages of $< (a minute or a few, the first time)"
	@$(PIP) install --require-hashes --only-binary :all: -r $<
	@$(PIP) install --no-deps --no-build-isolation --no-index -e .
	@touch $@

# The driver for VOLTTRON is tested beside VOLTTRON's own driver framework.
volttron-install: $(VENV)/volttron/.made

$(VENV)/volttron/.made: .lock/volttron.txt | $(BIN)/python
	@$(BIN)/python -m venv $(VENV)/volttron
	@$(VENV)/volttron/bin/python -m pip --disable-pip-version-check --quiet install --require-hashes --only-binary :all: -r $<
	@touch $@

# Those that are built with their optimisations first: the others take a sixth longer for everything.
$(BIN)/python:
	@found="$(PYTHON)"; \
	for quick in "$(OPTIMISED)" True; do \
	  for candidate in python3.11 /usr/bin/python3.11 python3.12 /usr/bin/python3.12 \
	      python3.13 /usr/bin/python3.13 python3 python; do \
	    test -z "$$found" || break; \
	    "$$candidate" -c "import sys, sysconfig, venv, ensurepip; \
	      sys.exit(not ((3, 11) <= sys.version_info < (3, 14) and ($$quick)))" \
	      2>/dev/null && found="$$candidate"; \
	  done; \
	done; \
	if test -z "$$found"; then \
	  echo "No Python from 3.11 to 3.13 with the modules venv and ensurepip was found." >&2; \
	  echo "Name one: make PYTHON=/path/to/python3.11 ..." >&2; exit 1; \
	fi; \
	echo "creating $(VENV) with $$("$$found" --version), $$found"; \
	"$$found" -m venv $(VENV)
