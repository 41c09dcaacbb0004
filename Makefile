# Everything runs in .venv, made from constraints.txt. `make help` lists the targets.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready
SECONDS ?= 75
# One thread for each worker of numpy and torch: processes are how this product scales.
export OMP_NUM_THREADS ?= 1

.DEFAULT_GOAL := help
.PHONY: help setup demo test check bench chaos soak fuzz broker clean

help: ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 10

setup: $(STAMP) ## make .venv with the product, its extras and the tested versions

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; $(PYTHON) is $$($(PYTHON) --version 2>&1)"; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV) (a few minutes the first time) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@$(BIN)/python -m monitor.offline.prepare
	@touch $@

demo: $(STAMP) ## simulated machines, faults, alerts, a page; SECONDS=0 keeps it running
	@$(BIN)/monitor demo --seconds $(SECONDS) $(DEMO)

test: $(STAMP) ## all tests; those whose server is absent are skipped with a reason
	@$(BIN)/python -m pytest --numprocesses auto --dist loadgroup $(ARGS)

check: $(STAMP) ## formatting, lint and types
	@$(BIN)/ruff format --check --quiet . || { echo "run: $(BIN)/ruff format"; exit 1; }
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy

bench: $(STAMP) ## speed, against a naive pipeline in the same run
	@$(BIN)/monitor bench $(ARGS)

chaos: SECONDS = 600
chaos: $(STAMP) ## processes and brokers in trouble, results compared; SECONDS=600 JSON=file
	@$(BIN)/python -m tests.chaos --seconds $(SECONDS) $(if $(JSON),--json $(JSON)) $(ARGS)

soak: SECONDS = 600
soak: $(STAMP) ## the highest sustainable rate, sensors that come and go: nothing may grow; JSON=file
	@$(BIN)/python -m tests.soak --seconds $(SECONDS) $(if $(JSON),--json $(JSON)) $(ARGS)

fuzz: PAYLOADS = 1000000
fuzz: $(STAMP) ## hostile input for every reader; PAYLOADS=1000000 JSON=file
	@$(BIN)/python -m tests.fuzz --payloads $(PAYLOADS) $(if $(JSON),--json $(JSON)) $(ARGS)

broker: $(STAMP) ## a real Apache Kafka 4.3 on 127.0.0.1:9092 (needs Java 17 and Maven)
	@$(BIN)/python deploy/broker/broker.py $(ARGS)

clean: ## remove what setup made
	rm -rf $(VENV)
