# `make help` lists the verbs. Every path is relative and quoted, so the checkout may lie anywhere,
# under a name with spaces too, and nothing here reads the environment of an active venv.
SHELL := /bin/sh
.DEFAULT_GOAL := help
PYTHON ?=
PY := .venv/bin/python
ARGS ?=

KAFKA := var/kafka/libs/.fetched

.PHONY: help install tools demo test test-all test-rest soak test-kafka mutants lint format types imports pins docs env bench up clean

help: ## list the verbs
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

install: ## make .venv with the command danbao and everything the tests need (again: at once)
	@for python in "$(PYTHON)" $(PY) python3.14 python3.13 python3.12 python3.11 python3 python; do \
	  if [ -n "$$python" ] && "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	    exec "$$python" -I -S deploy/install.py; \
	  fi; \
	done; \
	echo "danbao needs Python 3.11 or later; none was found (make install PYTHON=/path/to/python3)" >&2; exit 1

tools: install ## install the programs that some tests call: Chromium, Node.js, Go, nginx, Java, Maven (as root on Debian)
	@$(PY) -m tests.support.tools

demo: install ## stream a month of orders, charge, close, bill, report and audit it (ARGS="--orders 20000 --json")
	@$(PY) -m services.cli demo $(ARGS)

up: install ## run all services on this machine until Ctrl-C
	@$(PY) -m services.cli up $(ARGS)

test: install ## run a sample of the tests within minutes (ARGS="-k close -x"; ARGS="-n0 ..." in one process)
	@$(PY) -m pytest -n auto --take=sample $(ARGS)

test-all: install ## run all tests: every crash place, ways through a browser, foreign tools, long histories
	@$(PY) -m pytest -n auto $(ARGS)

test-rest: install ## run what `make test` leaves out
	@$(PY) -m pytest -n auto --take=rest $(ARGS)

test-kafka: install $(KAFKA) ## run the tests that use a broker on Apache Kafka (needs Java 17 and Maven)
	@$(PY) -m pytest -n auto --kafka=apache $(ARGS)

# Kafka's own jars, at the versions of the pom; nothing is downloaded again until it changes.
$(KAFKA): tests/kafka/pom.xml
	@$(PY) -c 'import sys; from tests.support.apache_kafka import complaint; sys.exit(complaint())'
	@command -v mvn >/dev/null || { echo "make test-kafka needs Maven (mvn) to fetch Apache Kafka's jars" >&2; exit 1; }
	@rm -rf var/kafka/libs
	mvn --batch-mode --quiet -Dstyle.color=never -f tests/kafka/pom.xml dependency:copy-dependencies
	@touch $@

MINUTES ?= 30
soak: install ## load, faults of every kind by seed, audit, for MINUTES=30 (again by ARGS="--seed N")
	@$(PY) -m tests.faults.soak --minutes $(MINUTES) $(ARGS)

mutants: install ## switch one safety off at a time: the suite must fail each time
	@$(PY) -m tests.mutation.run_mutants

lint: install types imports ## everything that can be said without running the code
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m pytest -q tests/tidy

format: install ## put the code into the house's form
	@$(PY) -m ruff check --fix .
	@$(PY) -m ruff format .

types: install ## check the types
	@$(PY) -m mypy

imports: install ## check who may import whom
	@$(PY) -c 'from importlinter.cli import lint_imports_command; lint_imports_command()'

docs: install ## write the generated pages: contracts, table of commands, data model (ARGS=--check)
	@$(PY) -m tools.contracts $(ARGS)
	@[ -n "$(ARGS)" ] || $(PY) -m tools.data_model
	@$(PY) -m tools.command_table $(ARGS)

env: ## write .env with new secrets for docker-compose.yml
	@for python in "$(PYTHON)" $(PY) python3; do \
	  if [ -n "$$python" ] && "$$python" -c "" 2>/dev/null; then exec "$$python" -I -S deploy/new_env.py; fi; \
	done; echo "python3 was not found" >&2; exit 1

bench: install ## measure every row of the table of targets, half an hour (ARGS="charging --json"; ARGS=--short)
	@$(PY) -m benchmarks $(ARGS)

pins: install ## resolve requirements/*.txt again from pyproject.toml (ARGS=--upgrade for newer versions)
	@$(PY) -I tools/pins.py $(ARGS)

clean: ## remove what these verbs made
	rm -rf .venv .venv.lock build dist danbao.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
