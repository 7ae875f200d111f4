# `make help` lists what there is to do. Needs Python 3.11 to 3.13 and make, and for the tests
# bash, curl (with --json) and openssl; everything else is installed into .venv.

PORT ?= 8443
VENV := .venv
PY := $(VENV)/bin/python
LOCAL := $(PY) -m deploy.local
TESTS ?= tests
# All of them on every core, by file: what a file shares (a running service) is made once, and the longest, which are
# among the first, begin first. A few in one process.
WORKERS := $(if $(filter tests,$(TESTS)),auto --dist loadfile --no-loadscope-reorder,0)
CHECKS := lint format types imports system migrations schema rules compatibility asvs
OPENAPI ?= openapi.yaml

# The first interpreter that works, is of a supported version and can make a virtual environment.
SUPPORTED := import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))
FIND_PYTHON = for python in $(PYTHON) python3.13 python3.12 python3.11 python3 python; do \
	"$$python" -c "$(SUPPORTED)" >/dev/null 2>&1 && echo "$$python" && break; done
UV = $(VENV)/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --custom-compile-command "make lock"

.DEFAULT_GOAL := help
.PHONY: help run test test-fork lab lab-sweep bench fuzz matrix asvs check checks $(CHECKS:%=check-%) fix openapi release-openapi schemathesis lock clean compose-up compose-down
MAKEFLAGS += --no-print-directory

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: $(VENV)/installed ## Serve the demo on https://localhost:8443 (PORT= for another port) until Ctrl-C
	@$(LOCAL) run --port $(PORT)

test: $(VENV)/installed ## Run every test on a real PostgreSQL and Valkey (TESTS= for some)
	@$(LOCAL) exec -- $(PY) -m pytest -n $(WORKERS) $(TESTS)

test-fork: $(VENV)/installed ## Delete the sample domain in a copy, and run the tests that are left
	@$(PY) -m tests.fork

lab: $(VENV)/installed ## Play the attacks with every layer, each alone, and none (NAMES= for some)
	@DJANGO_SETTINGS_MODULE=config.settings.development $(PY) -m lab run $(or $(NAMES),--all)

lab-sweep: $(VENV)/installed ## Make each control a no-op in a copy of the source: the lab has to notice (NAMES= for some)
	@DJANGO_SETTINGS_MODULE=config.settings.development $(PY) -m lab sweep $(NAMES)

check: $(VENV)/installed ## Lint, types, import contract, system checks, migrations, openapi.yaml and its rules
	@$(LOCAL) exec --settings config.settings -- $(MAKE) checks

checks:
	@failed=; for check in $(CHECKS); do \
		echo "== $$check"; $(MAKE) check-$$check || failed="$$failed $$check"; \
	done; \
	if [ -n "$$failed" ]; then echo "FAILED:$$failed"; exit 1; fi; echo "All checks passed."

check-lint:
	@$(VENV)/bin/ruff check .

check-format:
	@$(VENV)/bin/ruff format --check .

check-types:
	@$(VENV)/bin/mypy .

check-imports:
	@for contract in pyproject.toml $(wildcard */.importlinter); do \
		$(VENV)/bin/lint-imports --no-cache --config $$contract || exit 1; done

check-system:
	@$(PY) manage.py check --deploy --fail-level WARNING

check-migrations:
	@$(PY) manage.py makemigrations --check --dry-run

check-schema:
	@$(PY) manage.py spectacular --validate --fail-on-warn --file .openapi.new.yaml; status=$$?; \
	if [ $$status -eq 0 ]; then diff -u openapi.yaml .openapi.new.yaml; status=$$?; \
		[ $$status -eq 0 ] || echo "openapi.yaml is not what the code says: run make openapi, and read the difference."; fi; \
	rm -f .openapi.new.yaml; exit $$status

check-rules:
	@$(PY) -m contract.rules $(OPENAPI)

check-compatibility:
	@$(PY) -m contract.compatibility

check-asvs:
	@$(PY) -m tests.asvs check

fix: $(VENV)/installed ## Format, and fix what the linter can
	@$(VENV)/bin/ruff check --fix .; $(VENV)/bin/ruff format .

openapi: $(VENV)/installed ## Write openapi.yaml anew
	@$(LOCAL) exec --settings config.settings -- $(PY) manage.py spectacular --validate --fail-on-warn --file openapi.yaml

release-openapi: $(VENV)/installed ## Keep openapi.yaml as the released one: what later ones are compared with
	@$(PY) -m contract.compatibility --release

schemathesis: $(VENV)/installed ## Call the served API as clerk, treasurer and org_admin, by openapi.yaml and against it (EXAMPLES=300)
	@$(LOCAL) exec -- $(PY) -m contract.calls --examples $(or $(EXAMPLES),300) $(ARGS)

asvs: $(VENV)/installed ## Write docs/asvs.md anew: which test proves which requirement
	@$(LOCAL) exec -- $(PY) -m tests.asvs write

bench: $(VENV)/installed ## Measure a contact's pages out of a million invoices, and hold them to their bounds (BENCH="--bound 5")
	@$(LOCAL) exec -- $(PY) -m benchmarks.contact_pages $(BENCH)

fuzz: $(VENV)/installed ## Send 100,000 spoilt requests (FUZZ= for options: "--seconds 60", "--seed 5")
	@$(LOCAL) exec -- $(PY) -m fuzzing $(FUZZ)

matrix: $(VENV)/installed ## Write the authorization matrix anew, by really calling
	@UPDATE_MATRIX=1 $(LOCAL) exec -- $(PY) -m pytest --quiet tests/contract/test_matrix.py

lock: $(VENV)/installed ## Compile the hash-pinned locks anew (UPGRADE=1 for newer versions)
	@$(UV) $(if $(UPGRADE),--upgrade) pyproject.toml -o requirements/production.txt
	@$(UV) $(if $(UPGRADE),--upgrade) --group dev -c requirements/production.txt pyproject.toml -o requirements/development.txt

compose-up: ## Build and start the service with docker compose
	docker compose up --build --wait

compose-down: ## Stop it and remove its data
	docker compose down --volumes

clean: ## Remove the virtual environment, the demo's data and every cache
	@if [ -x $(PY) ]; then $(LOCAL) clean; fi
	@rm -rf $(VENV) .run .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis staticfiles
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/installed: requirements/development.txt
	@python=$$($(FIND_PYTHON)); \
	if [ -z "$$python" ]; then \
		echo "Portcullis needs Python 3.11, 3.12 or 3.13 with the venv module (Debian: apt install python3-venv)." >&2; \
		exit 1; \
	fi; \
	echo "Creating $(VENV) with $$($$python --version) …"; \
	"$$python" -m venv --clear $(VENV)
	@echo "Installing the hash-pinned packages …"
	@$(PY) -m pip install --disable-pip-version-check --no-input --require-hashes --only-binary :all: \
		-r requirements/development.txt
	@touch $@
