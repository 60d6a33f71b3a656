# Serinus's front door. Each target makes what it needs in .venv, from the lock files and nothing else.
#
#   PYTHON=…  the Python to use (3.11 or later); found by itself otherwise
#   ARGS=…    arguments handed on, e.g. make test ARGS="tests/core -x"

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.SUFFIXES:

PYTHON ?=
ARGS ?=

# What is installed in .venv is compiled once, and not by every process anew.
unexport PYTHONDONTWRITEBYTECODE

BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
# Every file that is installed has the hash that the lock gives for it. uv takes seconds where pip takes minutes; pip
# does it where uv cannot, as with an index that only pip has been told of.
install = $(BIN)/uv pip install --quiet --python $(1)/bin/python --require-hashes --requirement $(2) \
	|| { echo 'pip does what uv could not.'; \
	$(1)/bin/python -m pip --disable-pip-version-check --quiet install --require-hashes --requirement $(2); }

RUN := .venv/.run-lock .venv/.package
DEV := .venv/.dev-lock .venv/.package

.PHONY: help demo demo-production environment test services peers lint format bench bench-decisions bench-isolation bench-lossless bench-overload bench-serving bench-soak serve dashboard lock clean

help: ## Say what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' Makefile
	@echo
	@echo '  ARGS="..." is handed on; PYTHON=/path/to/python picks the Python (3.11 or later).'

demo: $(RUN) ## Watch a good canary being promoted and a bad one rolled back
	@$(BIN)/canary demo $(ARGS)

demo-production: $(DEV) services ## The same on PostgreSQL, Redis and S3, with two gateways behind a load balancer
	@$(BIN)/python -m tests.production.demo

environment: $(DEV) ## Make what the tests and the checks run in

# What tests speak to that pins libraries of its own has an environment of its own, from a lock of its own.
PEERS := $(patsubst requirements/peers/%.lock,.peers/%/.lock,$(wildcard requirements/peers/*.lock))

peers: $(PEERS) ## Install what tests speak to: an MLflow server, an MLServer ...

.peers/%/.lock: requirements/peers/%.lock | $(DEV)
	@echo 'Installing $< ...'
	@$(BIN)/python -m venv --clear .peers/$*
	@$(call install,.peers/$*,$<)
	@touch $@

# Only pip looks where the build of torch for CPUs alone may lie. Without one, tests that need it are skipped.
.peers/torch/.lock: requirements/peers/torch.lock | $(DEV)
	@echo 'Installing $< ...'
	@$(BIN)/python -m venv --clear .peers/torch
	@.peers/torch/bin/python -m pip --disable-pip-version-check --quiet install --no-compile --require-hashes --requirement $< \
		|| { [ -z "$$CI" ] && echo 'There is none here: tests that need torch are skipped.'; }
	@touch $@

# Whole files, so that what a file starts is started once; each process has servers of its own. Most of the time they
# wait for servers, so there may be more of them than cores.
SIDE_BY_SIDE := --numprocesses 4 --dist loadfile --no-loadscope-reorder

test: $(DEV) services $(PEERS) ## Run the tests
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) $(ARGS)

# Each is a program that tests start and the Debian package it is in. As root they are installed, but not
# started: policy-rc.d forbids it. SeaweedFS comes with the development lock.
SERVICES := initdb:postgresql redis-server:redis-server haproxy:haproxy prometheus:prometheus chromium:chromium

services: ## Install the servers that tests start, if they are missing
	@set -eu; \
	places="$$PATH:/usr/local/sbin:/usr/sbin:$$(echo /usr/lib/postgresql/*/bin | tr ' ' ':')"; \
	packages=''; \
	for service in $(SERVICES); do \
		PATH="$$places" command -v "$${service%%:*}" >/dev/null || packages="$$packages $${service#*:}"; \
	done; \
	install() { \
		echo "Installing$$packages ..."; \
		if [ ! -e /usr/sbin/policy-rc.d ]; then \
			trap 'rm -f /usr/sbin/policy-rc.d' EXIT; \
			printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d; \
			chmod +x /usr/sbin/policy-rc.d; \
		fi; \
		export DEBIAN_FRONTEND=noninteractive; \
		apt-get update -qq && apt-get install -y -qq --no-install-recommends $$packages >/dev/null; \
	}; \
	if [ -n "$$packages" ]; then \
		{ [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && install; } \
		|| echo "What needs them is left out. On Debian or Ubuntu: sudo apt-get install$$packages"; \
	fi

lint: $(DEV) ## Check style, types and layers
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy --num-workers auto
	$(BIN)/lint-imports --no-logo

format: $(DEV) ## Format the code and repair what can be repaired
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

bench: $(DEV) ## Measure throughput and latency
	$(BIN)/python -m bench.run $(ARGS)

bench-decisions: $(DEV) ## Simulate the rules of decision; ARGS=--full: the whole
	$(BIN)/python -m bench.decisions $(ARGS)

# Proofs: each ends with an error where a promise is broken.
bench-isolation: $(DEV) services ## Prove that a canary that does harm costs others nothing
	$(BIN)/python -m bench.isolation $(ARGS)

bench-lossless: $(DEV) services ## Prove that what was answered is logged, once
	$(BIN)/python -m bench.lossless $(ARGS)

bench-overload: SERVICES := initdb:postgresql wrk:wrk
bench-overload: $(DEV) services ## Prove that what is too much is refused and the rest is answered
	$(BIN)/python -m bench.overload $(ARGS)

bench-soak: $(DEV) services ## Prove that nothing grows while canaries come and go
	$(BIN)/python -m bench.soak $(ARGS)

# Other people's servers that Serinus is measured against, each in an environment of its own, too.
RIVALS := $(patsubst requirements/bench/%.lock,.peers/bench-%/.lock,$(wildcard requirements/bench/*.lock))

.peers/bench-%/.lock: requirements/bench/%.lock | $(DEV)
	@echo 'Installing $< ...'
	@$(BIN)/python -m venv --clear .peers/bench-$*
	@$(call install,.peers/bench-$*,$<)
	@touch $@

bench-serving: SERVICES := initdb:postgresql redis-server:redis-server wrk:wrk taskset:util-linux
bench-serving: $(DEV) services $(RIVALS) ## Measure Serinus beside other prediction servers
	$(BIN)/python -m bench.serving $(ARGS)

serve: $(RUN) ## Run a server here
	@$(BIN)/canary serve $(ARGS)

dashboard: $(RUN) ## Show the releases of a server in a browser
	@$(BIN)/canary dashboard $(ARGS)

# The development lock is made first; the other one may hold no other version. ARGS=--upgrade takes
# the newest versions, ARGS="--upgrade-package NAME" the newest of one; without it only what
# pyproject.toml asks for changes.
UV_COMPILE := $(BIN)/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 \
	--generate-hashes --no-emit-index-url --annotation-style line \
	--custom-compile-command 'make lock'

# All but torch, which has an environment of its own.
EVERY_EXTRA := $(addprefix --extra ,sklearn onnx convert postgres redis s3 dashboard mlflow xgboost lightgbm notify openlineage)

lock: $(DEV) ## Write the lock files anew from pyproject.toml
	$(UV_COMPILE) $(EVERY_EXTRA) --group dev --output-file requirements/dev.lock $(ARGS)
	$(UV_COMPILE) --extra demo --extra onnx --extra dashboard --group build --constraint requirements/dev.lock \
		--output-file requirements/run.lock $(ARGS)
	$(UV_COMPILE) --extra sklearn --extra onnx --extra postgres --extra redis --extra s3 --extra dashboard --group build \
		--constraint requirements/dev.lock --output-file requirements/production.lock $(ARGS)
	$(subst compile pyproject.toml,compile,$(UV_COMPILE)) --group install --constraint requirements/dev.lock \
		--output-file requirements/install.lock $(ARGS)
	@for peer in requirements/peers/*.in requirements/bench/*.in; do \
		[ ! -e "$$peer" ] || $(BIN)/uv pip compile "$$peer" --quiet --universal --python-version 3.11 --generate-hashes \
			--no-emit-index-url --annotation-style line --custom-compile-command 'make lock' \
			--output-file "$${peer%.in}.lock" $(ARGS); \
	done

clean: ## Remove the environment, the caches and what was built
	rm -rf .venv .peers .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache build dist
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

# -- the environment: each stamp is newer than the file it was made from --------------------------

.venv/.run-lock: requirements/run.lock | .venv/.created
	@echo 'Installing requirements/run.lock ...'
	@$(call install,.venv,requirements/run.lock)
	@touch $@

# It holds all of run.lock, so both stamps are made.
.venv/.dev-lock: requirements/dev.lock | .venv/.created
	@echo 'Installing requirements/dev.lock ...'
	@$(call install,.venv,requirements/dev.lock)
	@touch .venv/.run-lock $@

.venv/.package: pyproject.toml | .venv/.created
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

.venv/.created:
	@set -eu; \
	fits() { "$$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }; \
	complete() { "$$1" -c 'import ensurepip, venv' >/dev/null 2>&1; }; \
	python=''; \
	for candidate in $(if $(PYTHON),'$(PYTHON)',python3.11 python3 python3.13 python3.12 python3.14); do \
		if fits "$$candidate"; then python="$$candidate"; break; fi; \
	done; \
	if [ -z "$$python" ]; then \
		echo 'Serinus needs Python 3.11 or later and found none$(if $(PYTHON), at $(PYTHON)).' >&2; \
		echo 'Install one, or name it: make PYTHON=/path/to/python3.11 ...' >&2; \
		exit 1; \
	fi; \
	if ! complete "$$python"; then \
		package="$$("$$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')"; \
		if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
			echo "$$python has no venv module: installing $$package ..."; \
			apt-get update -qq; \
			DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$$package"; \
		fi; \
		if ! complete "$$python"; then \
			echo "$$python cannot make virtual environments: its venv or ensurepip module is missing." >&2; \
			echo "On Debian or Ubuntu: sudo apt-get install $$package" >&2; \
			exit 1; \
		fi; \
	fi; \
	echo "Making .venv with $$("$$python" --version) ..."; \
	"$$python" -m venv --clear .venv; \
	$(PIP) install --require-hashes --requirement requirements/install.lock; \
	touch $@
