# make demo | test | check | bench | build | clean
# What a target needs and does not find is installed: Python packages into .venv, npm packages beside their
# package.json, Chromium and nginx by apt-get where that is allowed. Stamps in .make keep a second run quick.

PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test check lint types imports unit bench build clean setup
.DELETE_ON_ERROR:

setup: .make/venv

.make/venv: pyproject.toml
	@mkdir -p .make
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable '.[dev,trio,demo]'
	@touch $@

check: lint types imports unit

lint: .make/venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

unit: .make/venv
	$(BIN)/coverage run -m pytest -q -m 'not browser and not servers and not slow'
	$(BIN)/coverage report
