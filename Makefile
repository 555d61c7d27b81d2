# `make` lists what there is.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:
MAKEFLAGS += --no-print-directory

# The Python, 3.11 to 3.13, that everything runs on.
PYTHON ?= python3
TFLINT_VERSION := 0.64.0

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_NO_INPUT := 1

BIN := .venv/bin
# Stamps carry a checksum of what their thing is made from, so that a change makes it anew.
checksum = $(shell { $(PYTHON) -VV; cat $(1); } 2>&1 | cksum | cut -d ' ' -f 1)
VENV := .venv/.made-from-$(call checksum,requirements/dev.txt pyproject.toml)
TFLINT := $(CURDIR)/.cache/tflint-$(TFLINT_VERSION)/tflint
UV := .cache/uv-$(call checksum,requirements/uv.txt)/bin/uv

COMPILE = $(UV) pip compile --quiet --universal --generate-hashes --no-header --no-annotate --python-version 3.11 --upgrade

stage = @printf '\n==> %s\n' '$(1)'
need = @command -v $(1) >/dev/null || { echo '$(1) is not on the PATH: $(2)' >&2; exit 1; }

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: setup
setup: $(VENV) ## Make the environment .venv from the pinned requirements

.PHONY: demo
demo: $(VENV) ## Run a year's job on an emulator of AWS (DEMO_DAYS=1461 for all; PROVIDER=registry for the newest provider)
	$(call need,terraform,https://developer.hashicorp.com/terraform/install)
	@$(BIN)/python -m examples.complete.demo

.PHONY: package
package: $(VENV) ## Build the Essentials' package for AWS Lambda
	@$(BIN)/sosw package

.PHONY: test
test: lint test-unit test-integration test-guarantees test-terraform test-e2e ## Check everything

.PHONY: lint
lint: $(VENV) $(TFLINT) ## Check style, types and Terraform
	$(call stage,Python: style)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(call stage,Python: types)
	$(BIN)/mypy
	$(call stage,Terraform: style)
	$(call need,terraform,https://developer.hashicorp.com/terraform/install)
	terraform fmt -check -diff -recursive
	$(TFLINT) --recursive --config $(CURDIR)/.tflint.hcl
	$(call stage,Terraform: validity of every directory)
	$(BIN)/python -m tests.support.terraform

.PHONY: test-unit
test-unit: $(VENV) ## Run the unit tests
	$(call stage,Unit tests)
	$(BIN)/pytest tests/unit -n auto

.PHONY: test-integration
test-integration: $(VENV) ## Run the integration tests on moto and DynamoDB Local
	$(call stage,Integration tests on moto and DynamoDB Local)
	@$(BIN)/python -m tests.support.dynamodb_local
	$(BIN)/pytest tests/integration -n auto

.PHONY: test-guarantees
test-guarantees: $(VENV) ## Run the tests of what holds under faults and under concurrency
	$(call stage,Guarantees under faults and under concurrency)
	@$(BIN)/python -m tests.support.dynamodb_local
	$(BIN)/pytest tests/guarantees -m 'not long' -n auto
	$(BIN)/pytest tests/concurrency --verbose

.PHONY: test-terraform
test-terraform: $(VENV) ## Run the modules' tests and check them against the schema of a current provider
	$(call stage,Terraform tests)
	$(call need,terraform,https://developer.hashicorp.com/terraform/install)
	SOSW_PROVIDER_SCHEMA="$$($(BIN)/python -m tests.support.provider)" $(BIN)/pytest tests/terraform -n auto --dist loadfile

.PHONY: test-e2e
test-e2e: $(VENV) ## Apply the complete example on an emulator of AWS, run jobs, destroy
	$(call stage,End-to-end tests on MiniStack)
	$(call need,terraform,https://developer.hashicorp.com/terraform/install)
	$(BIN)/pytest tests/end_to_end --ignore tests/end_to_end/upgrade -n auto --dist loadfile --durations 10

.PHONY: test-stories
test-stories: $(VENV) ## Tell the other stories of what people, Workers, AWS and faults may do
	$(call stage,More stories of the state machine)
	$(BIN)/pytest tests/guarantees -m long -n auto

.PHONY: test-upgrade
test-upgrade: $(VENV) ## Apply 0.1.0, then this tree, then 0.1.0 again, while Workers report
	$(call stage,Upgrade and roll-back on MiniStack)
	$(call need,terraform,https://developer.hashicorp.com/terraform/install)
	$(BIN)/pytest tests/end_to_end/upgrade --verbose --durations 10

.PHONY: bench
bench: $(VENV) ## Measure costs beside sosw 0.7, idling, and how full the slots are; write docs/benchmarks.md
	$(call need,terraform,https://developer.hashicorp.com/terraform/install)
	@$(BIN)/python -m benchmarks all

.PHONY: soak
soak: $(VENV) ## Draw faults at random for longer (MINUTES=15)
	@$(BIN)/python -m tests.soak --minutes $(or $(MINUTES),15)

.PHONY: lock
lock: $(UV) $(VENV) ## Pin the newest versions of everything in requirements/
	$(COMPILE) pyproject.toml requirements/build.in --extra cli --group dev --output-file requirements/dev.txt
	$(COMPILE) pyproject.toml --excludes requirements/lambda-provides.txt --output-file runtime/sosw_runtime/cli/essentials.txt
	$(COMPILE) requirements/emulator.in --output-file requirements/emulator.txt
	for name in demo provider schema uv; do $(COMPILE) --no-deps requirements/$$name.in --output-file requirements/$$name.txt; done
	$(BIN)/python -m tests.support.dynamodb_local pin

.PHONY: clean
clean: ## Remove everything that was made here, downloads included
	rm -rf .venv .cache .hypothesis .mypy_cache .pytest_cache .ruff_cache build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV):
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' \
		|| { echo "Python 3.11 to 3.13 is needed, and $(PYTHON) is $$($(PYTHON) --version 2>&1); give another: make PYTHON=python3.12" >&2; exit 1; }
	@echo 'making .venv'
	@$(PYTHON) -m venv --clear .venv
	@$(BIN)/python -m pip install --quiet --require-hashes --requirement requirements/dev.txt
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

$(TFLINT):
	$(call need,go,https://go.dev/dl (tflint is built with it))
	@echo 'making .cache/tflint-$(TFLINT_VERSION), which takes two minutes'
	@GOBIN=$(@D) go install github.com/terraform-linters/tflint@v$(TFLINT_VERSION)

$(UV):
	@$(PYTHON) -m venv --clear $(dir $(@D))
	@$(@D)/python -m pip install --quiet --require-hashes --requirement requirements/uv.txt
