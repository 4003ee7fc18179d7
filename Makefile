# Greenroom's commands. `make demo` and `make test` work on a fresh machine with Python 3.11, Go and make.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
UV := $(VENV)/bin/uv
MEMBERS := contracts chassis services/gateway services/scheduler services/agent-runner services/billing sandbox cli
LIVEKIT_VERSION := v1.13.5
LIVEKIT := .tools/bin/livekit-server
PYTEST := $(VENV)/bin/pytest
# Tests that wait for deadlines more than they work: two at a time. The others hold calls, for which two cores are few.
WAITING := $(addprefix tests/integration/,chassis billing deploy gateway scheduler test_poison.py)

# The least share, in percent, of a domain's lines and branches that the unit tests run.
DOMAIN_FLOOR := 97

.DEFAULT_GOAL := help
.PHONY: FORCE help install lock demo run test check format unit chaos docs bench dev up down logs clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

install: $(VENV)/.installed $(LIVEKIT) ## install everything into this folder, without root

$(UV):
	@command -v $(PYTHON) >/dev/null || { echo "greenroom: Python 3.11 or newer is missing; install it with: apt-get install python3 python3-venv"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "greenroom: $(PYTHON) is older than 3.11; name another with: make PYTHON=python3.11 install"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet "$$(sed -n 's/^\(uv==[0-9.]*\).*/\1/p' requirements.lock)"

$(VENV)/.installed: requirements.lock $(MEMBERS:%=%/pyproject.toml) | $(UV)
	$(UV) pip sync --quiet --python $(VENV)/bin/python --require-hashes requirements.lock
	$(UV) pip install --quiet --python $(VENV)/bin/python --no-deps --no-build-isolation $(MEMBERS:%=-e %)
	@touch $@

$(LIVEKIT):
	@command -v go >/dev/null || { echo "greenroom: Go is missing (it builds livekit-server); install it with: apt-get install golang-go"; exit 1; }
	@echo "building livekit-server $(LIVEKIT_VERSION), once, about 3 minutes"
	@mkdir -p .tools/bin
	GOBIN=$(CURDIR)/.tools/bin go install github.com/livekit/livekit-server/cmd/server@$(LIVEKIT_VERSION)
	@mv .tools/bin/server $(LIVEKIT)

lock: | $(UV) ## update requirements.lock from the pyproject files
	$(UV) pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 \
	  $(foreach member,$(MEMBERS),--no-emit-package greenroom-$(notdir $(member))) \
	  --group dev $(MEMBERS:%=%/pyproject.toml) -o requirements.lock

demo: install ## a real voice call through the whole system, without keys or Docker
	$(VENV)/bin/greenroom demo

run: install ## start the whole system here; Ctrl-C stops it
	$(VENV)/bin/greenroom up

check: install ## style, types, dependency rules, plain English, generated files, compose and Dockerfile
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/pyright
	$(VENV)/bin/lint-imports --no-cache
	$(VENV)/bin/python docs/plain_english.py
	@for member in $(MEMBERS); do (cd $$member && $(CURDIR)/$(VENV)/bin/deptry . --no-ansi) || exit 1; done
	$(VENV)/bin/python deploy/check.py

format: install ## fix style and formatting
	$(VENV)/bin/ruff check --fix --quiet .
	$(VENV)/bin/ruff format .

unit: install ## unit, property and contract tests; with PART=billing one part's
	$(PYTEST) $(if $(PART),tests/unit/$(subst -,_,$(PART)),tests/unit tests/contract)

test: check ## everything that CI runs
	$(PYTEST) -n 2 --cov --cov-report= tests/unit tests/contract
	@echo "lines and branches that the unit tests run, in percent: $$($(VENV)/bin/coverage report --format=total)"
	$(VENV)/bin/coverage report --include='*/domain/*' --fail-under=$(DOMAIN_FLOOR)
	$(PYTEST) -n 2 --dist loadfile $(WAITING)
	$(PYTEST) tests/integration $(WAITING:%=--ignore=%) tests/e2e
	$(PYTEST) tests/chaos -m subset

# With MINUTES the random run instead, for so long: make chaos MINUTES=30 SEED=7 NATS=3
chaos: install ## faults injected into real processes; with MINUTES=30 at random, for so long
ifdef MINUTES
	$(VENV)/bin/python -m tests.chaos.random_run --minutes $(MINUTES) $(if $(SEED),--seed $(SEED)) $(if $(NATS),--nats $(NATS))
else
	$(PYTEST) tests/chaos
endif

docs: install ## regenerate the generated documents
	$(VENV)/bin/python -m contracts.schemas
	$(VENV)/bin/python docs/api/generate.py
	$(VENV)/bin/python deploy/backplane.py

bench: install ## the benchmarks, each with a table
	@for bench in tests/bench/[a-z]*.py; do echo "== $$bench"; $(VENV)/bin/python $$bench || exit 1; done

# Docker: for deployment, and to see traces and metrics. Without an `.env` one is written with generated secrets.
COMPOSE := docker compose
SANDBOX := --profile sandbox --env-file .env --env-file deploy/docker/sandbox.env

# FORCE: an .env of an earlier version gets its missing secrets.
.env: FORCE
	@$(PYTHON) deploy/docker/new_env.py
FORCE:

dev: .env ## Docker: everything with the sandbox, no keys needed; follows the logs, Ctrl-C stops it all
	$(COMPOSE) $(SANDBOX) up --build --timeout 30

up: .env ## Docker: everything with the keys of .env
	$(COMPOSE) up --build --detach --wait

down: .env ## Docker: stop everything; the data stays
	$(COMPOSE) --profile sandbox down --timeout 670

logs: .env ## Docker: follow the logs
	$(COMPOSE) --profile sandbox logs --follow

clean: ## remove the files that install and runs create
	rm -rf $(VENV) .tools .greenroom .coverage greenroom-demo.wav greenroom-call.wav
