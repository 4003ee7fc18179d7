# Greenroom's commands. `make demo` and `make test` work on a fresh machine with Python 3.11, Go and make.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
UV := $(VENV)/bin/uv
MEMBERS := contracts chassis services/gateway services/scheduler services/agent-runner services/billing sandbox cli
LIVEKIT_VERSION := v1.13.5
LIVEKIT := .tools/bin/livekit-server
PYTEST := $(VENV)/bin/pytest
# Files of tests run two at a time, those that wait for deadlines first, then those that hold calls: three on two cores
# miss deadlines of a second. Those that depend on moments run alone.
WAITING := $(addprefix tests/integration/,chassis billing deploy gateway scheduler test_poison.py)
ALONE := tests/e2e $(patsubst %,tests/integration/agent_runner/test_worker_%.py,floor turns voice)

# The unit tests must run at least this share of a domain's lines and branches, in percent.
DOMAIN_FLOOR := 97

.DEFAULT_GOAL := help
.PHONY: FORCE help install console lock demo run test check format unit chaos docs screenshots bench dev up down logs clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

install: $(VENV)/.installed $(LIVEKIT) console ## install everything into this folder, without root

$(UV):
	@command -v $(PYTHON) >/dev/null || { echo "greenroom: Python 3.11 or newer is missing; install it with: apt-get install python3 python3-venv"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "greenroom: $(PYTHON) is older than 3.11; name another with: make PYTHON=python3.11 install"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet "$$(sed -n 's/^\(uv==[0-9.]*\).*/\1/p' requirements.lock)"

$(VENV)/.installed: requirements.lock $(MEMBERS:%=%/pyproject.toml) | $(UV)
	$(UV) pip sync --quiet --python $(VENV)/bin/python --require-hashes requirements.lock
	$(UV) pip install --quiet --python $(VENV)/bin/python --no-deps --no-build-isolation $(MEMBERS:%=-e %)
	@touch $@

# The web console, built with Node.js 20.19 or newer and npm; without them the page /console says how to build it.
HAS_NODE := $(shell command -v npm >/dev/null && node -p '(([a, b]) => a > 20 || (a == 20 && b >= 19) ? "yes" : "")(process.versions.node.split("."))' 2>/dev/null)
CONSOLE_SOURCES := $(shell find console -name node_modules -prune -o -name dist -prune -o -name tests -prune -o -type f -print)

ifeq ($(HAS_NODE),yes)
console: console/dist/.built
else
console:
	@echo "greenroom: without Node.js 20.19 or newer and npm the web console is not built; the rest works"
endif

console/dist/.built: console/node_modules/.installed $(CONSOLE_SOURCES)
	@cd console && npm run --silent build -- --logLevel warn
	@touch $@

console/node_modules/.installed: console/package.json console/package-lock.json
	@echo "installing the console's packages"
	@cd console && npm ci --ignore-scripts --no-audit --no-fund --silent
	@touch $@

$(LIVEKIT):
	@command -v go >/dev/null || { echo "greenroom: Go is missing (it builds livekit-server); install it with: apt-get install golang-go"; exit 1; }
	@echo "building livekit-server $(LIVEKIT_VERSION), once, about 3 minutes"
	@mkdir -p .tools/bin
	GOBIN=$(CURDIR)/.tools/bin go install github.com/livekit/livekit-server/cmd/server@$(LIVEKIT_VERSION)
	@mv .tools/bin/server $(LIVEKIT)

lock: | $(UV) ## update requirements.lock from the pyproject files
	$(UV) pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 --all-extras \
	  $(foreach member,$(MEMBERS),--no-emit-package greenroom-$(notdir $(member))) \
	  --group dev $(MEMBERS:%=%/pyproject.toml) -o requirements.lock

demo: install ## a real voice call through the whole system, without keys or Docker
	$(VENV)/bin/greenroom demo

run: install ## start the whole system here; Ctrl-C stops it
	$(VENV)/bin/greenroom up

check: install ## style, types, dependency rules, sizes, plain English, generated files, compose and Dockerfile
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/pyright
	$(VENV)/bin/lint-imports --no-cache
	$(VENV)/bin/python docs/plain_english.py
	$(VENV)/bin/python docs/sizes.py
	@for member in $(MEMBERS); do (cd $$member && $(CURDIR)/$(VENV)/bin/deptry . --no-ansi) || exit 1; done
	$(VENV)/bin/python deploy/check.py
	$(if $(HAS_NODE),cd console && npm run --silent check)

format: install ## fix style and formatting
	$(VENV)/bin/ruff check --fix --quiet .
	$(VENV)/bin/ruff format .

unit: install ## unit, property and contract tests; with PART=billing one part's
	$(PYTEST) $(if $(PART),tests/unit/$(subst -,_,$(PART)),tests/unit tests/contract)

test: check ## everything that CI runs
	$(if $(HAS_NODE),cd console && npm run --silent test)
	$(PYTEST) -n 2 --cov --cov-report= tests/unit tests/contract
	@echo "lines and branches that the unit tests run, in percent: $$($(VENV)/bin/coverage report --format=total)"
	$(VENV)/bin/coverage report --include='*/domain/*' --fail-under=$(DOMAIN_FLOOR)
	$(PYTEST) -n 2 --dist loadfile $(WAITING)
	$(PYTEST) -n 2 --dist loadfile tests/integration $(WAITING:%=--ignore=%) $(ALONE:%=--ignore=%)
	$(PYTEST) $(ALONE)
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
	$(VENV)/bin/python deploy/dashboards.py

screenshots: install ## the README's pictures of the console, from a real call; needs Chromium
	$(VENV)/bin/python -m tests.e2e.screenshots

bench: install ## the benchmarks, each with a table
	@for bench in tests/bench/[a-z]*.py; do echo "== $$bench"; $(VENV)/bin/python $$bench || exit 1; done

# Docker: for deployment, and to see traces and metrics. Without an `.env` one is written with generated secrets.
COMPOSE := docker compose
# A profile on the command line replaces those of .env, which has `tls` with a DOMAIN.
TLS = $(if $(shell grep -s '^COMPOSE_PROFILES=.*tls' .env),--profile tls)
SANDBOX = --profile sandbox $(TLS) --env-file .env --env-file deploy/docker/sandbox.env
ALL := --profile sandbox --profile tls

# FORCE: an .env of an earlier version gets its missing secrets and addresses. With DOMAIN=voice.example.org: TLS.
.env: FORCE
	@DOMAIN='$(DOMAIN)' TURN_DOMAIN='$(TURN_DOMAIN)' LOCAL_CA='$(LOCAL_CA)' $(PYTHON) deploy/docker/new_env.py
FORCE:

dev: .env ## Docker: everything with the sandbox, no keys needed; follows the logs, Ctrl-C stops it all
	$(COMPOSE) $(SANDBOX) up --build --timeout 30

up: .env ## Docker: everything with the keys of .env
	$(COMPOSE) up --build --detach --wait

down: .env ## Docker: stop everything; the data stays
	$(COMPOSE) $(ALL) down --timeout 670

logs: .env ## Docker: follow the logs
	$(COMPOSE) $(ALL) logs --follow

clean: ## remove the files that install and runs create
	rm -rf $(VENV) console/node_modules console/dist .tools .greenroom .coverage greenroom-demo.wav greenroom-call.wav
