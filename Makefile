# Everything a person needs, from a clone to a running dashboard. `make` prints what there is.

VENV := .venv
BIN := $(VENV)/bin
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
# Changes when what would be installed changes; the settings of ruff, mypy and pytest do not count.
FINGERPRINT := import hashlib, json, sys, tomllib; \
  project = tomllib.load(open("pyproject.toml", "rb")); \
  parts = [project["project"], project["build-system"], open("constraints.txt").read(), sys.version]; \
  print(hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16])
.PHONY: help install up test check bench soak clean
FAULTS ?= 500
SEEDS ?= 1 2 3 4 5 6 7 8 9 10

help: ## What there is
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: ## Make .venv with the command `tallyboard` and all test tools (once; then instant and offline)
	@python=$$(for name in "$${PYTHON:-}" python3.13 python3.12 python3.11 python3 python; do \
	    [ -n "$$name" ] && "$$name" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	      && { command -v "$$name"; break; }; \
	  done || true); \
	if [ -z "$$python" ]; then \
	  echo "Tallyboard needs Python 3.11 or newer with venv; here is $$(python3 --version 2>/dev/null || echo none). Name another with PYTHON=…" >&2; \
	  exit 1; \
	fi; \
	stamp=$(VENV)/stamp-$$("$$python" -c '$(FINGERPRINT)'); \
	if [ ! -e "$$stamp" ]; then \
	  echo "Making $(VENV) with $$("$$python" --version) (some minutes the first time) …"; \
	  rm -f $(VENV)/stamp-*; \
	  "$$python" -m venv --clear $(VENV); \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[test,dev]'; \
	  touch "$$stamp"; \
	  echo "Done: $(BIN)/tallyboard."; \
	fi

up: install ## Start everything with the demos flights and host (data in .tallyboard/demo); Ctrl-C stops it
	@exec $(BIN)/tallyboard up --data .tallyboard/demo --demo flights --demo host

test: install ## All tests: unit, property, contract, integration, browser
	@$(BIN)/python -m pytest -n 2 --dist loadfile

check: install ## Lint, format, types, architecture
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/python -m pytest -q tests/unit/test_architecture.py

bench: install ## Measure: checks its sums before it prints a speed
	@$(BIN)/python -m benchmarks

soak: install ## Faults without end: every write of the read model, FAULTS=500 on the write side, kills with SEEDS="1 2 3"
	@$(BIN)/python -m tests.chaos.read_model_sweep
	@$(BIN)/python -m tests.chaos.read_model_recovery
	@$(BIN)/python -m tests.chaos.soak --faults $(FAULTS) --seed $(firstword $(SEEDS))
	@for seed in $(SEEDS); do \
	  $(BIN)/python -m pytest tests/chaos --chaos-seed "$$seed" --chaos-scale 5 -o timeout=1200 -s || exit 1; \
	done

clean: ## Remove .venv and caches (data in .tallyboard stay)
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
