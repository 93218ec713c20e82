# `make` lists what there is to do. Everything happens in .venv, which the first target that needs it creates.

.DEFAULT_GOAL := help
.PHONY: bench-dashboard help venv docs-api demo browser test test-docker test-matrix lint typecheck format bench bench-peers bench-growth bench-check kill-loop chaos exactly-once stress workflows-model hosts prometheus schedule-hour crash-points mutations soak fuzz audit bench-breaker bench-limits bench-limits-idle bench-limits-snapshot bench-workflows limit-check build clean

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# PYTHON=/path/to/python chooses one; ARGS is passed on, as in `make test ARGS="-k retry"`.
PYTHON ?=
ARGS ?=
HOURS ?= 1

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_ROOT_USER_ACTION := ignore

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-21s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

venv: $(STAMP) ## create .venv with pgjobs and all that developing it needs (Python 3.11 or newer)

$(STAMP): pyproject.toml
	@python=; for candidate in $(PYTHON) python3 python3.14 python3.13 python3.12 python3.11; do \
		if "$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
			python=$$candidate; break; \
		fi; \
	done; \
	if [ -z "$$python" ]; then \
		echo "No Python 3.11 or newer was found: install one, or say where it is: make $(MAKECMDGOALS) PYTHON=/path/to/python" >&2; \
		exit 1; \
	fi; \
	[ -x $(BIN)/python ] || { echo "Creating $(VENV) (once)…"; "$$python" -m venv $(VENV); }
	@$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	@$(BIN)/python -m pip install --quiet --editable '.[embedded,cloudpickle,asyncpg,prometheus,otel,top,web]' --group dev
	@touch $@

demo: $(STAMP) ## the whole story in a minute, on an embedded PostgreSQL
	@$(BIN)/pgjobs demo $(ARGS)

# worksteal: each process gets a part of the files and keeps their order, so a fixture of a file is made once; the
# first to finish takes what the others have not begun. Five on two cores: half of a test of workers is waiting. They
# start hundreds of processes, which take what is compiled from __pycache__ instead of compiling it again.
test: $(STAMP) ## run the tests, on an embedded PostgreSQL or on PGJOBS_TEST_DATABASE_URL
	@env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -m pytest -n 5 --dist worksteal $(ARGS)

.PHONY: test-whole
test-whole: export TURN := all
test-whole: test ## run the tests, and all of those that take turns; half an hour

# Ryuk, the container that cleans up after testcontainers, is one image more to fetch; the fixture stops its own.
test-docker: export TESTCONTAINERS_RYUK_DISABLED := true
test-docker: $(STAMP) ## run the tests on the image postgres:18 (needs a Docker engine)
	@$(BIN)/python -c 'import sys; from tests.support.postgres import docker_answers; sys.exit(None if docker_answers() else "No Docker engine answers.")'
	@$(BIN)/python -m pytest --postgres=docker $(ARGS)

test-matrix: $(STAMP) ## run the tests on PostgreSQL 14 to 18, as far as they can be had
	@$(BIN)/python -m tests.system.matrix $(ARGS)

lint: $(STAMP) ## ruff, mypy, which package may import which, and plain English
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python -m tests.docs.prose

docs-api: $(STAMP) ## write docs/api.md, the API reference, from the docstrings
	@$(BIN)/python -m tests.docs.api

typecheck: $(STAMP) ## pyright, which fetches a node of its own the first time
	@$(BIN)/pyright --pythonpath $(BIN)/python

format: $(STAMP) ## put the code in order
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

browser: $(STAMP) ## look at each page and do each action of the dashboard in a browser that is there; five minutes
	@$(BIN)/python -m pip install --quiet --group browser
	@$(BIN)/python -m tests.web.schema
	@$(BIN)/python -m tests.web.browser $(ARGS)

bench: $(STAMP) ## measure pgjobs beside the SQL alone (ARGS=URL for a server of your own); three minutes
	@$(BIN)/python -m benchmarks.suite $(ARGS)
	@$(BIN)/python -m benchmarks.report --show bench

bench-peers: $(STAMP) ## measure pgjobs beside other queues, each in an environment of its own; half an hour
	@$(BIN)/python -m benchmarks.suite --peers $(ARGS)
	@$(BIN)/python -m benchmarks.report --show peers

bench-growth: $(STAMP) ## measure how cost grows, and draw it; half an hour (ARGS="--only snapshot": 40 minutes more)
	@$(BIN)/python -m benchmarks.growth $(ARGS)
	@$(BIN)/python -m benchmarks.plots
	@$(BIN)/python -m benchmarks.report

bench-check: $(STAMP) ## fail if the hot path falls below half of the SQL alone; a minute
	@$(BIN)/python -m benchmarks.check $(ARGS)

bench-breaker: $(STAMP) ## take a dependency down for 20 s under 200 jobs/s, with a circuit breaker; a minute (ARGS=--without)
	@$(BIN)/python -m benchmarks.breaker $(ARGS)

kill-loop: $(STAMP) ## kill workers and supervisors at random, and count what is lost
	@$(BIN)/python -m benchmarks.kill_loop $(ARGS)

limit-check: $(STAMP) ## a limit of 1 under eight workers, kills, retries and cancels: never two at once; two minutes
	@$(BIN)/python -m benchmarks.limit_check $(ARGS)

bench-limits: $(STAMP) ## measure limits, rates, sequences and fairness at 1 to 10,000 keys beside plain jobs; ten minutes
	@$(BIN)/python -m benchmarks.limits $(ARGS)

bench-limits-idle: $(STAMP) ## measure how soon an idle worker starts jobs with limits, beside plain ones; two minutes
	@$(BIN)/python -m benchmarks.limit_pickup $(ARGS)

bench-limits-snapshot: $(STAMP) ## measure limits while a transaction holds a snapshot for ten minutes; twelve minutes
	@$(BIN)/python -m benchmarks.limit_snapshot $(ARGS)

bench-dashboard: $(STAMP) ## fill large tables, and time each page of the dashboard and a scrape; ten minutes (ARGS="--share 0.1")
	@$(BIN)/python -m benchmarks.dashboard $(ARGS)

bench-workflows: $(STAMP) ## measure chains, a fan-in, large workflows and their listing beside plain jobs; three minutes
	@$(BIN)/python -m benchmarks.workflows $(ARGS)

chaos: SEED ?= 1
chaos: $(STAMP) ## produce all faults under load, then all of it mixed for ten minutes; 35 minutes (SEED=2)
	@$(BIN)/python -m tests.system.chaos --seed $(SEED) --json tests/system/chaos/results/seed-$(SEED).json $(ARGS)
	@$(BIN)/python -m tests.system.chaos.report
	@$(BIN)/python -m tests.system.stress --seed $(SEED) --minutes 10

exactly-once: SEED ?= 1
exactly-once: $(STAMP) ## complete 20,000 jobs in the transactions of their work while all is killed: a row each; four minutes (SEED=2)
	@$(BIN)/python -m tests.system.chaos --seed $(SEED) --only "exactly once" $(ARGS)

workflows-model: SEED ?= 1
workflows-model: GRAPHS ?= 1000
workflows-model: $(STAMP) ## run random workflows beside a model, with workers that are killed (SEED=2 GRAPHS=10000)
	@$(BIN)/python -m tests.system.workflows.run --seed $(SEED) --graphs $(GRAPHS) --kills $(ARGS)

hosts: $(STAMP) ## broadcast over two hosts that are network namespaces, as root: one killed, one joining, one cut off
	@$(BIN)/python -m tests.system.hosts $(ARGS)

prometheus: $(STAMP) ## scrape two supervisors with a real Prometheus, and see an alert fire (apt install prometheus); two minutes
	@$(BIN)/python -m tests.system.prometheus $(ARGS)

stress: SEED ?= 1
stress: MINUTES ?= 10
stress: $(STAMP) ## mix all that jobs can wait for with faults, at random, and audit it (MINUTES=60 SEED="2 3")
	@$(BIN)/python -m tests.system.stress --seed $(SEED) --minutes $(MINUTES) $(ARGS)

schedule-hour: $(STAMP) ## fire an hour of schedules in two minutes, under kills and leaps of PostgreSQL's clock
	@$(BIN)/python -m tests.schedules.hour $(ARGS)

crash-points: $(STAMP) ## kill worker and supervisor before and after each of their statements; a quarter of an hour
	@TURN=all $(BIN)/python -m pytest tests/system/test_crash_points.py $(ARGS)

mutations: $(STAMP) ## take out each protection by itself, and see a test go red; twenty minutes
	@$(BIN)/python -m tests.system.mutations $(ARGS)

soak: $(STAMP) ## a steady load under faults for HOURS=1, and what grew meanwhile
	@$(BIN)/python -m tests.system.soak --hours $(HOURS) $(ARGS)

fuzz: $(STAMP) ## try odd values, arguments and rows for some ten minutes (FUZZ_EXAMPLES=N for each test)
	@FUZZ_EXAMPLES=$${FUZZ_EXAMPLES:-3000} $(BIN)/python -m pytest tests/system/fuzz -p no:randomly --timeout 1800 $(ARGS)

audit: $(STAMP) ## look whether a known vulnerability is in what is installed, by what PyPI knows
	@$(BIN)/python -m pip install --quiet --group audit
	@$(BIN)/python -m pip freeze --exclude-editable > $(VENV)/installed.txt
	@$(BIN)/pip-audit --vulnerability-service pypi --strict --no-deps --disable-pip --progress-spinner off \
		--requirement $(VENV)/installed.txt $(ARGS)

build: $(STAMP) ## make the wheel and the source archive in dist/
	@$(BIN)/python -m build

clean: ## remove .venv, caches and what was built (not .pgjobs/: that is data)
	rm -rf $(VENV) dist build .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
