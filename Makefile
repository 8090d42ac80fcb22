# What a target needs and does not find is installed: Python packages into .venv, npm packages beside their
# package.json, Chromium, Firefox and nginx by apt-get where that is allowed. Stamps in .make keep the next run quick and
# off the network; they carry the folder's name, because .venv does not survive being moved.

PYTHON ?= python3
PY := .venv/bin/python
CORE := $(wildcard tests/wire tests/session tests/subprotocols)
HERE := $(shell pwd | cksum | cut -d' ' -f1)
DEMO := .make/demo-$(HERE)
EXAMPLES := .make/examples-$(HERE)
DEV := .make/dev-$(HERE)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help demo examples example-chat example-whiteboard test quick check lint types imports core unit rest js bundle system \
    bench bench-growth bench-idle bench-browser chaos hostile soak docs build clean setup

help:
	@echo "make demo    the forced-fallback demo (starts a server and prints its address)"
	@echo "make examples        a chat and a whiteboard; make example-chat, make example-whiteboard: one of them"
	@echo "make test    everything: lint, types, imports, Python, JavaScript, Chromium, Firefox, real servers"
	@echo "make check   the quick part of it: lint, types, imports, unit tests"
	@echo "make bench   what each message costs the server, beside Node, python-socketio and bare servers"
	@echo "make bench-growth    what more sessions and larger rooms change; make bench-idle: memory of sessions"
	@echo "make bench-browser   how soon a page hears from its server through bad networks, beside socket.io and sockjs"
	@echo "make chaos   numbered events through networks that break, our server's or your own; make chaos ARGS=--help"
	@echo "make hostile ten thousand hostile inputs, three times; make soak: two hundred clients and faults for an hour"
	@echo "make docs    the documentation, in build/site/"
	@echo "make build   the wheel and the sdist, in dist/"
	@echo "make clean   remove all that these made"

# --- what is run

demo: $(DEMO) bundle
	@$(PY) -m holdfast.demo $(ARGS)

examples: $(EXAMPLES) bundle examples/node_modules/.package-lock.json
	@$(PY) -m examples $(ARGS)

example-chat example-whiteboard: example-%: $(EXAMPLES) bundle examples/node_modules/.package-lock.json
	@$(PY) -m examples $* $(ARGS)

test: quick bundle system unit rest

# Each of these takes one core.
quick: $(DEV) tools/node_modules/.package-lock.json client_js/node_modules/.package-lock.json
	@$(PY) tools/side_by_side.py "lint types imports docs core" js

# The same tests as `core` and `unit`, without coverage.
check: $(DEV) tools/node_modules/.package-lock.json tests/clients/node_modules/.package-lock.json .make/typing/holdfast
	@$(PY) tools/side_by_side.py "lint types imports" "unit CORE="

lint: $(DEV)
	@echo "== lint"
	@$(PY) -m ruff check --quiet .
	@$(PY) -m ruff format --check --quiet . || { echo "run: $(PY) -m ruff format ."; exit 1; }

types: $(DEV) tools/node_modules/.package-lock.json .make/typing/holdfast
	@echo "== types (Python)"
	@tools/node_modules/.bin/pyright

imports: $(DEV)
	@echo "== import contracts"
	@$(PY) -c 'from importlinter.cli import lint_imports; raise SystemExit(lint_imports(no_logo=True))'

# 100 % of the layers without I/O, branches included, by their own tests and no others.
core: $(DEV)
	@echo "== wire, session, subprotocols: tests and coverage"
	@$(PY) -m coverage run -m pytest -q -m "not slow" $(CORE)
	@$(PY) -m coverage report

unit: $(DEV) tests/clients/node_modules/.package-lock.json
	@echo "== unit tests"
	@$(PY) -m pytest -q -n 2 --dist worksteal -m "not browser and not servers and not slow" $(addprefix --ignore=,$(CORE)) $(ARGS)

rest: $(DEV) tools/node_modules/.package-lock.json tests/clients/node_modules/.package-lock.json \
    tests/runtimes/node_modules/.package-lock.json examples/node_modules/.package-lock.json
	@echo "== slow tests, real servers, Chromium, Firefox"
	@$(PY) -m pytest -q -n 3 --dist worksteal -m "browser or servers or slow" $(ARGS)

js: client_js/node_modules/.package-lock.json
	@echo "== types (JavaScript)"
	@cd client_js && npm run --silent check
	@echo "== JavaScript tests"
	@cd client_js && npm run --silent test

bench: $(DEV) benchmarks/node_modules/.package-lock.json
	@$(PY) benchmarks/bench.py $(ARGS)

bench-growth: $(DEV)
	@$(PY) benchmarks/bench_growth.py $(ARGS)

bench-idle: $(DEV) benchmarks/node_modules/.package-lock.json
	@$(PY) benchmarks/idle.py $(ARGS)

bench-browser: $(DEV) bundle system benchmarks/node_modules/.package-lock.json
	@$(PY) benchmarks/browser.py $(ARGS)

chaos: $(DEV) tests/clients/node_modules/.package-lock.json
	@$(PY) benchmarks/chaos.py $(ARGS)

# Real servers under load; each command of benchmarks/ says with --help what it measures.
hostile soak: $(DEV) benchmarks/node_modules/.package-lock.json
	@$(PY) benchmarks/$@.py $(ARGS)

build: $(DEV)
	@$(PY) -m build --quiet --no-isolation --outdir dist .
	@ls -l dist

clean:
	rm -rf .venv .make build dist client_js/dist client_js/node_modules tools/node_modules tests/clients/node_modules \
	    examples/node_modules benchmarks/node_modules *.egg-info \
	    .pytest_cache .ruff_cache .hypothesis .import_linter_cache .coverage
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# --- what it needs

setup: $(DEV) client_js/node_modules/.package-lock.json tools/node_modules/.package-lock.json \
    tests/clients/node_modules/.package-lock.json tests/runtimes/node_modules/.package-lock.json \
    examples/node_modules/.package-lock.json bundle system

$(PY):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "holdfast needs Python 3.11 or later; run make PYTHON=…")'
	@$(PYTHON) -m venv .venv

$(DEMO): pyproject.toml | $(PY)
	@echo "== installing holdfast into .venv"
	@mkdir -p .make
	@$(PY) -m pip install -qq --disable-pip-version-check --editable '.[demo]'
	@touch $@

$(EXAMPLES): pyproject.toml | $(PY)
	@echo "== installing holdfast and FastAPI into .venv"
	@mkdir -p .make
	@$(PY) -m pip install -qq --disable-pip-version-check --editable '.[examples]'
	@touch $@ $(DEMO)

$(DEV): pyproject.toml | $(PY)
	@echo "== installing holdfast and what its tests need into .venv"
	@mkdir -p .make
	@$(PY) -m pip install -qq --disable-pip-version-check --editable '.[demo,dev,trio]'
	@touch $@ $(DEMO) $(EXAMPLES)

%/node_modules/.package-lock.json: %/package-lock.json
	@command -v npm >/dev/null || { echo "npm is missing: install Node.js 20 or later (Debian: apt-get install nodejs npm)"; exit 1; }
	@echo "== npm ci in $*"
	@cd $* && npm ci --loglevel=error --no-audit --no-fund
	@touch $@

# demo/ and examples/ import `holdfast` as a user does, and pyright finds packages by their folder's name only.
.make/typing/holdfast:
	@mkdir -p .make/typing
	@ln -sfn ../.. $@

# What the reference is read from: the package's own parts under its name.
docs: $(DEV)
	@mkdir -p .make/docs/holdfast
	@for part in __init__.py fast.py py.typed compat engine transports; do ln -sfn ../../../$$part .make/docs/holdfast/$$part; done
	@NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --quiet $(ARGS)
	@echo "docs: build/site/index.html"

bundle: | $(PY)
	@$(PY) tools/bundle.py

system:
	@tools/system_packages.sh
