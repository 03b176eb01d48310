# One command each, the same for a person and for CI. Everything below works on a machine with Python 3.11 or newer
# and nothing else: the virtual environment is made when it is missing.

PYTHON ?= python3
VENV ?= .venv
# A file of constraints, for example constraints/oldest.txt.
CONSTRAINTS ?=

BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
CONSTRAIN := $(if $(CONSTRAINTS),-c $(CONSTRAINTS))

# The six families of Backend.AI, each by its newest release.
RELEASES ?= 26.9.6 26.8.3 26.4.16 25.15.12 24.3.11 23.9.10

.PHONY: help demo test check format bench picture backends test-backends test-wheels wheel clean

help:
	@echo "make demo           start the example cluster, run its flows, print what was seen"
	@echo "make test           unit and integration tests"
	@echo "make check          format, lint, types"
	@echo "make format         apply the format"
	@echo "make bench          cost per request, beside stock OpenTelemetry and nothing; time and memory of trace"
	@echo "make backends       build Jaeger and a Collector into the user's cache (needs Go), print where they are"
	@echo "make test-backends  tests against these two"
	@echo "make test-wheels    tests against released Backend.AI, RELEASES='26.9.6 23.9.10' (needs redis-server)"
	@echo "make picture        docs/request.png: the desk's page of one request (needs Chromium)"

$(INSTALLED): pyproject.toml $(CONSTRAINTS)
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet $(CONSTRAIN) --editable '.[demo]' --group test --group check
	@touch $@

demo: $(INSTALLED)
	$(BIN)/otel-backendai demo --once

test: $(INSTALLED)
	$(BIN)/python -m pytest

check: $(INSTALLED)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(INSTALLED)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(INSTALLED)
	$(BIN)/python -m bench
	$(BIN)/python -m bench.trace

picture: $(INSTALLED)
	$(BIN)/python tools/demo_picture.py docs/request.png

backends:
	@backends/build.sh

test-backends: $(INSTALLED) backends
	$(BIN)/python -m pytest tests/backends

test-wheels:
	tests/releases/run.sh $(RELEASES)

wheel: $(INSTALLED)
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .

clean:
	rm -rf $(VENV) dist build
