# Everything a newcomer needs; `make help` lists it. Nothing here needs root or Docker.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.installed
DIR ?= .devstack
# Two processes share the tests: one runs all those of the stack (tests/conftest.py). PAIR= runs them in one process.
PAIR ?= -n 2
export PYTHONUNBUFFERED := 1

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

$(STAMP): pyproject.toml constraints.txt
	@PYTHON="$(PYTHON)" bash devstack/prerequisites.sh
	@test -x $(PY) || $(PYTHON) -m venv $(VENV)
	@echo "setup: installing the package and its tools into $(VENV)"
	@$(PY) -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,devstack,browser]'
	@touch $@

.PHONY: setup
setup: $(STAMP) ## install everything into .venv (done by the others when needed)

.PHONY: demo
demo: setup ## the main job end to end on real parts, with live changes and a comparison at the end
	@$(PY) -m demo

.PHONY: up down clean status
up: setup ## start the local stack: Postgres, Kafka, Connect with Debezium, two ClickHouse shards
	@$(PY) -m devstack up --dir $(DIR)
down: setup ## stop the local stack; its data stays
	@$(PY) -m devstack down --dir $(DIR)
clean: setup ## stop the local stack and remove its data
	@$(PY) -m devstack clean --dir $(DIR)
status: setup ## which parts of the local stack run, and where
	@$(PY) -m devstack status --dir $(DIR)

.PHONY: test test-long test-pages test-secure test-runbooks check-chart unit check
test: setup ## unit, contract, integration and end to end tests (starts a stack of its own)
	@$(PY) -m pytest $(PAIR) $(ARGS)
check-chart: setup ## the chart by Helm (from PATH, else compiled with Go), kubernetes-validate, checkov, hadolint (PyPI)
	@$(PY) -m pytest tests/chart $(ARGS)
test-long: setup ## the tests on the real stack that take longer: guides, cutover and back, each way to recover, kills
	@$(PY) -m pytest -m long $(ARGS)
test-runbooks: setup ## each line of each runbook, on a real stack in the state that its page is for
	@$(PY) -m pytest tests/runbooks $(ARGS)
test-secure: setup ## the main job with TLS, passwords, certificates and ACLs in all parts, and each of them wrong
	@$(PY) -m pytest tests/secure $(ARGS)
test-pages: setup ## the dashboard in Chromium, the alerts in Prometheus (taken from PATH, else fetched with npm and apt-get)
	@$(PY) -m pytest tests/pages $(ARGS)
unit: setup ## the tests that need no stack
	@$(PY) -m pytest $(PAIR) tests/unit $(ARGS)
check: setup ## lint, format, types, and that every imported package is declared
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/mypy
	@$(VENV)/bin/deptry stream

.PHONY: docs
docs: setup ## write docs/reference/ from the code
	@$(PY) -m docs.write

.PHONY: chart
chart: docs ## render the Helm chart into deploy/kubernetes.yaml
	@$(PY) -m docs.rendering

.PHONY: image
image: ## build the container image; its bill of materials is /opt/scorestream/share/scorestream/sbom.cdx.json
	docker build -f docker/Dockerfile -t scorestream:local --build-arg REVISION=$$(git rev-parse HEAD) \
		--build-arg CREATED=$$(date -u +%Y-%m-%dT%H:%M:%SZ) .

.PHONY: bench bench-live bench-catchup bench-replay bench-verify bench-lag
bench: bench-live bench-catchup bench-replay bench-verify bench-lag ## all benchmarks
bench-live: setup ## latency from Postgres commit to visible in ClickHouse at 1,000 changes/s
	@$(PY) -m benchmarks.live
bench-catchup: setup ## messages/s of a worker that was down, beside bare Faust
	@$(PY) -m benchmarks.catchup
bench-replay: setup ## messages/s of a replay, beside the raw drain and ClickHouse's Kafka engine
	@$(PY) -m benchmarks.replay
bench-verify: setup ## seconds and memory of a comparison of 5,000,000 scores that are equal in both stores
	@$(PY) -m benchmarks.verify
bench-lag: setup ## share of a core that the monitor takes at 64 partitions
	@$(PY) -m benchmarks.lag_cost

.PHONY: drill drill-replay drill-failover drill-standby drill-cluster drill-large soak
HOURS ?= 2
drill: setup ## fault drill on a stack of its own: kill, pause, cut off, compare at the end (ARGS="--seed 7")
	@$(PY) -m drills $(ARGS)
drill-replay: setup ## replay into a shadow beside a writer, processes killed at random, cutover, compare (ARGS="--seed 7")
	@$(PY) -m drills.replay $(ARGS)
drill-cluster: setup ## three brokers, two Connect workers: kill amid open transactions and COPY, keep each away, change topics (ARGS="--kills 4")
	@$(PY) -m drills.cluster $(ARGS)
drill-failover: setup ## promote standbys and restore a dump beneath a writer, recover, compare (ARGS="--only restore")
	@$(PY) -m drills.failover $(ARGS)
drill-standby: setup ## look up on a standby that is 500 ms behind, beneath a writer, compare (ARGS="--behind 2000")
	@$(PY) -m drills.standby_behind $(ARGS)
drill-large: setup ## large transactions, texts, scorecards and customers beside another customer, compare (ARGS="--scores 5000000")
	@$(PY) -m drills.large $(ARGS)
soak: setup ## hours of changes, kills and replays; then compare, and look whether memory, parts, slot, lag grew (HOURS=0.1)
	@$(PY) -m drills.soak --hours $(HOURS) $(ARGS)
