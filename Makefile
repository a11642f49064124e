# The ways in. `make help` lists them; CONTRIBUTING.md says more.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup run test soak lint format gen lock web bench cluster

PYTHON := .venv/bin/python
# Tests wait much: two workers take one file after the other, the long ones first.
WORKERS := --numprocesses 2 --dist loadfile --no-loadscope-reorder
# Folders with Python in them; an empty one would be an error to mypy.
CHECKED = conftest.py $(foreach folder,libs services cli deploy/dev deploy/images deploy/helm tests bench tools,$(if $(shell find $(folder) -name '*.py' -print -quit 2>/dev/null),$(folder)))

help: ## this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):[^#]*## /\1\t/' | expand -t 10

setup: ## make .venv from requirements.lock; nothing to do when it is up to date
	@python3 tools/setup.py

run: setup ## start backends, services and the demo tenant; Ctrl-C stops all
	@$(PYTHON) tools/web.py fresh
	@exec $(PYTHON) -m petitbleu_dev up

test: setup ## everything: lint, types, unit, integration, conformance, faults, browser
	@$(MAKE) --no-print-directory lint
	@$(PYTHON) -m pytest $(WORKERS)

soak: setup ## fault and property tests at full length
	@PETITBLEU_SOAK=1 PETITBLEU_TEST_SECONDS=10800 PETITBLEU_FAULT_INSTANTS=20 PETITBLEU_FAULT_S3_SECONDS=60 PETITBLEU_MUTATIONS=10000 PETITBLEU_FUZZ_SECONDS=1800 PETITBLEU_MIME_FUZZ_SECONDS=360 $(PYTHON) -m pytest tests/faults tests/fuzz tests/integration/test_corpus.py tests/integration/test_gateway_absurd.py tests/conformance/jmap/test_jmap_fuzz.py tests/conformance/jmap/test_jmap_histories.py tests/integration/junior libs services

lint: setup ## ruff, mypy, import rules, contracts, generated code
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy --no-error-summary $(CHECKED)
	@.venv/bin/lint-imports --no-cache --no-logo
	@.venv/bin/buf lint
	@.venv/bin/buf breaking --against proto/baseline.binpb
	@$(PYTHON) tools/gen.py --check
	@$(PYTHON) tools/web.py check

format: setup ## let ruff rewrite what it can
	@.venv/bin/ruff format .
	@.venv/bin/ruff check --fix .

gen: setup ## generate libs/petitbleu_proto from proto/
	@$(PYTHON) tools/gen.py

lock: ## write requirements.lock anew, keeping versions (`UPGRADE=--upgrade` for the newest)
	@$(PYTHON) tools/lock.py $(UPGRADE)

web: setup ## build the web app anew into web/dist (needs npm)
	@$(PYTHON) tools/web.py build

bench: setup ## side by side with Postfix and Dovecot; results in bench/results/
	@$(PYTHON) bench/run.py

cluster: ## not there yet
	@echo "make cluster: the Helm chart and its cluster are not part of Petit Bleu yet" >&2; exit 1
