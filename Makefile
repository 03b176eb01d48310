# One command each, the same for a person and for CI. Everything below works on a machine with Python 3.11 or newer
# and nothing else: the virtual environment is made when it is missing.

PYTHON ?= python3
VENV ?= .venv
# A file of constraints, for example constraints/otel-1.27.txt.
CONSTRAINTS ?=
# A version or a family of Backend.AI (tests/realstack/releases), and where its stack lives; by default in the user's cache.
RELEASE ?= 26.9.6
STACK_DIR ?=
# The releases of resolve and of test-releases; all that they know when empty.
RELEASES ?=
# The page that test-releases, test-ways, test-sessions, test-deferred and test-mixed write.
PAGE ?= docs/compatibility.md
# Of test-releases: with Backend.AI's own [otel] section on, into a section of its own, when set.
OTEL ?=
# Of test-ways: which ways in, all when empty.
WAYS ?=
# Of test-sessions: which cases, all when empty; of test-deferred, too: a file that keeps outcomes for the runs that add to them.
CASES ?=
OUTCOMES ?=

BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
CONSTRAIN := $(if $(CONSTRAINTS),-c $(CONSTRAINTS))

.PHONY: help demo test check format bench picture jaeger-picture session-picture failing-sessions backends test-backends \
	resolve test-trains scale-out stack stack-down test-releases test-sessions test-deferred test-ways test-wheels bench-releases test-mixed wheel clean

help:
	@echo "make demo           start the example cluster, run its flows, print what was seen"
	@echo "make test           unit and integration tests"
	@echo "make check          format, lint, types"
	@echo "make format         apply the format"
	@echo "make bench          cost per request, beside stock OpenTelemetry and nothing; time and memory of trace"
	@echo "make backends       build Jaeger and a Collector into the user's cache (needs Go), print where they are"
	@echo "make test-backends  tests against these two"
	@echo "make resolve        whether the plugin installs beside every release of Backend.AI (RELEASES='26.9.6 23.9.10')"
	@echo "make test-trains    the tests on each OpenTelemetry train that a release brings (constraints/)"
	@echo "make scale-out      200,000 spans through two node Collectors and two gateways, one of which is killed"
	@echo "make stack          start a released Backend.AI with the plugin and a desk: RELEASE=$(RELEASE), STACK_DIR=..."
	@echo "make stack-down     stop it"
	@echo "make test-releases  every hop in released Backend.AI, as a matrix into docs/compatibility.md: RELEASES=\"26.9.6 23.9.10\""
	@echo "make test-releases OTEL=1: the same with Backend.AI's own [otel] section on"
	@echo "make test-sessions  sessions in released Backend.AI and what their traces explain, into docs/compatibility.md too"
	@echo "make test-deferred  tokens of a plain client and background tasks in released Backend.AI, into docs/compatibility.md too"
	@echo "make test-ways      released Backend.AI by every way in (WAYS=\"launcher command pth\"), into docs/compatibility.md too"
	@echo "make test-wheels    tests against released Backend.AI, RELEASES='26.9.6 23.9.10' (needs redis-server)"
	@echo "make test-mixed     RELEASE=$(RELEASE) with the plugin in some components only, into docs/compatibility.md too"
	@echo "make bench-releases the same scenario without and with the plugin, as ratios of time: RELEASES=\"26.9.6 23.9.10\""
	@echo "make picture        docs/request.png: the desk's page of one request (needs Chromium)"
	@echo "make session-picture docs/session.png: a session made by RELEASE=$(RELEASE), without the plugin and with it (needs Chromium)"
	@echo "make failing-sessions docs/failing-session.md: what trace says of sessions that do not get on: RELEASES=\"26.9.6 25.15.12 23.9.10\""
	@echo "make jaeger-picture docs/jaeger-*.png: the same in Jaeger's own pages (needs Chromium, Go, and JAEGER_UI=DIR:"
	@echo "                    what a build of jaegertracing/jaeger-ui made; v1.76.0 fits)"

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
	$(BIN)/python -m tools.demo_picture docs/request.png

jaeger-picture: $(INSTALLED)
	$(if $(JAEGER_UI),,$(error JAEGER_UI is not set: the directory that a build of jaegertracing/jaeger-ui made))
	binaries=$$(backends/build.sh) && $(BIN)/python -m tools.jaeger_picture "$$binaries" "$(JAEGER_UI)" docs

session-picture: $(INSTALLED)
	@$(BIN)/python -m tools.session_picture "$(RELEASE)" docs/session.png $(if $(STACK_DIR),--dir "$(STACK_DIR)")

failing-sessions: $(INSTALLED)
	@$(BIN)/python -m tests.realstack.failing_sessions $(or $(RELEASES),26.9.6 25.15.12 23.9.10) --page docs/failing-session.md \
		$(if $(STACK_DIR),--dir "$(STACK_DIR)")

backends:
	@backends/build.sh

test-backends: $(INSTALLED) backends
	$(BIN)/python -m pytest tests/backends

resolve: $(INSTALLED)
	$(BIN)/python tools/resolve_beside.py $(RELEASES)

TRAINS ?= 1.27 1.33 1.39 1.45

test-trains:
	@for train in $(TRAINS); do \
		echo "== OpenTelemetry $$train"; \
		$(MAKE) test VENV=$(VENV)-otel-$$train CONSTRAINTS=constraints/otel-$$train.txt || exit 1; \
	done

scale-out: $(INSTALLED) backends
	$(BIN)/python -m tools.scale_out "$$(backends/build.sh)"

stack: $(INSTALLED)
	@$(BIN)/python -m tests.realstack.stack up "$(RELEASE)" --dir "$(STACK_DIR)"

stack-down: $(INSTALLED)
	@$(BIN)/python -m tests.realstack.stack down "$(RELEASE)" --dir "$(STACK_DIR)"

test-releases: $(INSTALLED)
	@$(BIN)/python -m tests.realstack.matrix $(RELEASES) --page "$(PAGE)" $(if $(STACK_DIR),--dir "$(STACK_DIR)") $(if $(OTEL),--otel)

test-sessions: $(INSTALLED)
	@$(BIN)/python -m tests.realstack.sessions $(RELEASES) --page "$(PAGE)" $(if $(STACK_DIR),--dir "$(STACK_DIR)") $(if $(CASES),--only $(CASES)) \
		$(if $(OUTCOMES),--outcomes "$(OUTCOMES)")

test-deferred: $(INSTALLED)
	@$(BIN)/python -m tests.realstack.deferred $(RELEASES) --page "$(PAGE)" $(if $(STACK_DIR),--dir "$(STACK_DIR)") \
		$(if $(OUTCOMES),--outcomes "$(OUTCOMES)")

test-ways: $(INSTALLED)
	@$(BIN)/python -m tests.realstack.ways $(RELEASES) --page "$(PAGE)" $(if $(STACK_DIR),--dir "$(STACK_DIR)") $(if $(WAYS),--only $(WAYS))

test-wheels:
	tests/releases/run.sh $(or $(RELEASES),26.9.6 26.8.3 26.4.16 26.3.3 25.15.12 25.12.1 25.11.4 25.9.1 25.6.17 25.3.3 24.9.7 24.3.11 23.9.10)

test-mixed: $(INSTALLED)
	@$(BIN)/python -m tests.realstack.mixed "$(RELEASE)" --page "$(PAGE)" $(if $(STACK_DIR),--dir "$(STACK_DIR)")

bench-releases: $(INSTALLED)
	@$(BIN)/python -m tests.realstack.pairs $(RELEASES) --page "$(PAGE)" $(if $(STACK_DIR),--dir "$(STACK_DIR)")

wheel: $(INSTALLED)
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .

clean:
	rm -rf $(VENV) dist build
