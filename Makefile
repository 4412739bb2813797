# `make run` and `make test` are all that is needed; the rest is for developing.
# Python 3.11 to 3.13 and a C++ compiler must be there; PYTHON= names another one.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: run test test-services conformance faults soak chaos compose-test services check \
  format imports requirements bench bench-stack train-model clean

run: $(VENV)/run.stamp
	@exec $(BIN)/python -m chatbot --setup

# A file's tests stay in one process. Three on two cores, as many wait for servers.
# TEST_PROCESSES=0 runs them as plain `pytest` does. They start Python a hundred times:
# where the environment forbids bytecode, all would compile again.
TEST_PROCESSES ?= 3
test: $(VENV)/dev.stamp
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest \
	  -n $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder

# A Redis and a Postgres of our own in var/services, until Ctrl-C; needs their programs.
services:
	@exec $(PYTHON) deploy/services.py var/services

# The domain's tests on that Postgres; the tests of `make test` start their own services.
test-services: $(VENV)/dev.stamp
	$(BIN)/python deploy/services.py var/services $(BIN)/python -m pytest tests/support

# The Autobahn test suite against the server's options; fetches it into var/autobahn.
conformance: $(VENV)/dev.stamp
	$(BIN)/python -m tests.system.conformance.autobahn

# Every fault FAULT_ROUNDS times, and 200 kills: about an hour. See docs/faults.md.
faults: $(VENV)/dev.stamp
	REQUIRE_SERVICES=1 $(BIN)/python -m pytest tests/faults tests/inference tests/browser/test_kills.py -m faults

# The engine for ten minutes: a thousand stories, mixed loads, customers with secrets.
soak: $(VENV)/dev.stamp
	$(BIN)/python -m pytest tests/inference/engine -m faults

# Faults at random, two or more at once: make chaos SEED=7 MINUTES=10
SEED ?=
MINUTES ?= 5
chaos: $(VENV)/dev.stamp
	$(BIN)/python -m tests.faults.chaos --seed "$(SEED)" --minutes $(MINUTES)

# Builds the images, brings docker-compose.yml up, talks to it, kills and restarts its
# parts, takes it down. Needs Docker; compiles for minutes at the first run.
compose-test: $(VENV)/dev.stamp
	$(BIN)/python -m pytest tests/compose -m compose

# Everything that is checked without running the program.
check: $(VENV)/dev.stamp
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy chatbot support inference tests
	$(BIN)/lint-imports
	$(BIN)/python manage.py makemigrations --check --dry-run
	$(BIN)/python manage.py check --fail-level WARNING

format: $(VENV)/dev.stamp
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

imports: $(VENV)/dev.stamp
	$(BIN)/lint-imports

# Pins every package for Python 3.11 to 3.13.
requirements: $(VENV)/dev.stamp
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --no-emit-index-url \
	  --no-header requirements.in -o requirements.txt
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --no-emit-index-url \
	  --no-header requirements-run.in -c requirements.txt -o requirements-run.txt
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --no-emit-index-url \
	  --no-header requirements-dev.in -c requirements.txt -o requirements-dev.txt

# BENCH="all" compares the engine with others; BENCH="--help" says what else there is.
bench: $(VENV)/run.stamp
	$(BIN)/python -m inference.bench $(BENCH)

# What web, queue, worker and sockets add to the model's own time; STACK="--help".
bench-stack: $(VENV)/dev.stamp
	$(BIN)/python deploy/services.py var/bench-stack \
	  $(BIN)/python manage.py measure_stack $(STACK)

# Trains the bundled model again: hours on a CPU. Goes on where it was interrupted.
train-model: $(VENV)/train.stamp
	$(BIN)/python -m inference.lab.train all --out var/lab

clean:
	rm -rf $(VENV) var

$(VENV)/bin/python:
	@$(PYTHON) -m venv $(VENV)

$(VENV)/run.stamp: requirements.txt deploy/install.py | $(VENV)/bin/python
	@$(BIN)/python deploy/install.py requirements.txt
	@touch $@

$(VENV)/dev.stamp: requirements-dev.txt $(VENV)/run.stamp
	@$(BIN)/python deploy/install.py requirements-dev.txt
	@touch $@

$(VENV)/train.stamp: requirements-train.txt $(VENV)/run.stamp
	@$(BIN)/python deploy/install.py requirements-train.txt
	@touch $@
