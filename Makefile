# The front door: `make help` lists what there is.
MAKEFLAGS += --warn-undefined-variables --no-builtin-rules
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
# Where it is set, each start of Python would compile all its libraries anew: seconds, hundreds of times in the tests.
unexport PYTHONDONTWRITEBYTECODE
# Meant for another Python: its packages would be imported in place of those of .venv, or .venv not be found at all.
unexport PYTHONPATH PYTHONHOME PYTHONSTARTUP PYTHONUSERBASE PYTHONWARNINGS PYTHONOPTIMIZE PYTHONINSPECT
# How packages are fetched is the user's choice; which ones, and into which folder, is not.
FETCHING := %INDEX %INDEX_URL %_FIND_LINKS %CERT %CERTS %TLS %HOST %PROXY %TIMEOUT %RETRIES %KEYRING_PROVIDER %OFFLINE
FETCHING += %CONFIG_FILE %CACHE_DIR %LINK_MODE UV_INDEX% UV_CONCURRENT% UV_HTTP%
unexport $(filter-out $(FETCHING), $(filter PIP_% UV_%, $(.VARIABLES)))
export PIP_USER := 0# whatever pip's configuration file says
# Bash would run the one first, and go elsewhere by the other.
unexport BASH_ENV CDPATH

OUT ?= out
EVENTS ?= 1000
INVENTORY ?= deploy/inventories/lab
ARGS ?=
LAB ?=
NODE ?=
CONFIG ?=
RUN ?=
PYTEST ?=
# In the order in which each goes on with the lab of the one before.
E2E := tests/e2e/test_deploy.py tests/e2e/test_platform.py tests/e2e/test_notebooks.py
BROWSER := chromium fonts-dejavu-core
HEPSPARK := .venv/bin/hepspark
CONF := training/conf/local.yaml
# The shell expands folders, inside quotes: their names may hold nearly anything.
export OUT INVENTORY CONFIG
PLAY := PYTHONPATH="$$PWD" ANSIBLE_CONFIG="$$PWD/deploy/ansible.cfg" .venv/bin/ansible-playbook --inventory "$$INVENTORY"
DEPLOY := .venv/bin/python -m deploy
# As YAML has it in a text between single quotes.
YAML_OUT := $$(sed "s/'/''/g" <<<"$$OUT")
LOCAL := $(CONF) --set folder="'$(YAML_OUT)'" --set "train.input=[tests/data/sample, '$(YAML_OUT)/dataset']"

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.venv/.ready: pyproject.toml requirements/all.txt requirements/bigdl.txt tools/setup.sh
	@tools/setup.sh

.PHONY: setup
setup: .venv/.ready ## Install everything that the other targets need into .venv

.PHONY: train
train: setup ## Ingest ROOT files, train the HLF classifier, evaluate it; results in OUT (out/)
	@$(HEPSPARK) ingest $(LOCAL) >/dev/null
	@$(HEPSPARK) train $(LOCAL) >/dev/null
	@$(HEPSPARK) evaluate $(LOCAL) >/dev/null

.PHONY: simulate
simulate: setup ## Simulate EVENTS (1000) events of each class into OUT/events
	@$(HEPSPARK) simulate --set simulate.output="'$(YAML_OUT)/events'" --set simulate.events=$(EVENTS) >/dev/null

.venv/.java-classes: .venv/.ready
	@.venv/bin/python -m tests.integration.java_classes $@

.PHONY: test
test: .venv/.deploy .venv/.java-classes ## Run all tests but those of test-deploy and e2e (PYTEST='-k name' for some)
	@tools/build.sh minio versitygw
	@.venv/bin/pytest --numprocesses 4 --dist loadfile --no-loadscope-reorder $(PYTEST)

.PHONY: test-deploy
test-deploy: mirror .venv/.java-classes ## Test mirror, lab and charts; as root on Debian
	@tools/apt.sh postgresql $(BROWSER)
	@tools/build.sh minio versitygw charts
	@.venv/bin/python -m tests.integration.deploy.hub.environment
	@$(DEPLOY).lab prepare
	@.venv/bin/pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder tests/integration/deploy $(PYTEST)

.PHONY: test-fast
test-fast: .venv/.deploy ## Run the tests that need neither Java nor a server: seconds
	@.venv/bin/pytest tests/unit tests/contract $(PYTEST)

.PHONY: e2e
e2e: mirror ## Deploy to a lab, grow it, shrink it; train on it, scale the training, break it; use its notebooks
	@tools/apt.sh $(BROWSER)
	@$(DEPLOY).lab prepare
	@.venv/bin/pytest --durations 10 $(E2E) $(PYTEST)

.PHONY: e2e-full
e2e-full: e2e ## The same, and what is too long for the gate: restarts, interrupts, reset, an existing cluster
	@.venv/bin/pytest --durations 10 tests/e2e $(E2E:%=--ignore %) $(PYTEST)

.PHONY: check
check: lint types imports ## Everything that reads the code: lint, types, imports

.PHONY: lint
lint: setup ## Check style and formatting
	@.venv/bin/ruff check
	@.venv/bin/ruff format --check

.PHONY: types
types: .venv/.deploy ## Check types (mypy --strict)
	@.venv/bin/mypy

.PHONY: imports
imports: setup ## Check which module may import which
	@.venv/bin/lint-imports

.PHONY: format
format: setup ## Bring the code into its format
	@.venv/bin/ruff check --fix
	@.venv/bin/ruff format

.venv/.deploy: .venv/.ready requirements/deploy.txt
	@tools/setup.sh deploy

.PHONY: mirror
mirror: .venv/.deploy ## Make everything that an installation fetches, and list it
	@$(DEPLOY).mirror fill
	@$(DEPLOY).mirror list

.PHONY: images
images: .venv/.deploy ## Make the images of hepspark again that have changed, in the mirror's registry
	@$(DEPLOY).mirror fill --only spark-base --only spark --only minio --only hub-base --only hub --only proxy --only notebook-base --only notebook

.PHONY: mirror-bundle
mirror-bundle: mirror ## Pack the mirror into OUT/mirror.tar for a closed site
	@mkdir -p -- "$$OUT" && $(DEPLOY).mirror bundle "$$OUT/mirror.tar"

.PHONY: lab
lab: .venv/.deploy ## Make hosts on this machine (LAB='--workers 2 --cpus 2 --memory 5g')
	@$(DEPLOY).lab up $(LAB)

.PHONY: lab-down
lab-down: .venv/.deploy ## Remove the hosts that `make lab` made, without a trace
	@$(DEPLOY).lab down

.PHONY: deploy
deploy: .venv/.deploy $(if $(findstring inventories/lab,$(INVENTORY)),mirror lab) ## From hosts (INVENTORY; default: the lab) to a ready cluster
	@$(PLAY) deploy/playbooks/deploy.yml $(ARGS)

.PHONY: serve-mirror
serve-mirror: .venv/.deploy ## Serve the mirror from the hosts of INVENTORY that are there for it
	@$(PLAY) deploy/playbooks/mirror.yml $(ARGS)

.PHONY: site
site: .venv/.deploy ## Only what `make deploy` does to the hosts of INVENTORY
	@$(PLAY) deploy/playbooks/site.yml $(ARGS)

.PHONY: platform
platform: .venv/.deploy ## Only what `make site` does on the ready cluster of INVENTORY: storage, Spark, notebooks
	@$(PLAY) deploy/playbooks/platform.yml $(ARGS)

.PHONY: verify
verify: .venv/.deploy ## Check the cluster of INVENTORY by using it
	@$(PLAY) deploy/playbooks/verify.yml $(ARGS)

.PHONY: submit
submit: ## Run CONFIG (values of helm/training) on the cluster of KUBECONFIG, by kubectl alone; RUN names it
	@tools/submit.sh "$$CONFIG" $(RUN)

.PHONY: add-node
add-node: .venv/.deploy ## Add the host NODE of INVENTORY to the cluster, leaving the other hosts alone
	@$(PLAY) deploy/playbooks/site.yml --limit localhost:$(NODE) $(ARGS)

.PHONY: remove-node
remove-node: .venv/.deploy ## Take the worker NODE out of the cluster of INVENTORY
	@$(PLAY) deploy/playbooks/remove_node.yml --extra-vars node=$(NODE) $(ARGS)

.PHONY: reset
reset: .venv/.deploy ## Remove the cluster from the hosts of INVENTORY; asks first (ARGS='-e confirm=yes' does not)
	@$(PLAY) deploy/playbooks/reset.yml $(ARGS)

.PHONY: bench
bench: setup ## Measure speed and accuracy against references, in one table each; JSON in OUT/bench
	@.venv/bin/python -m benchmarks.run --output "$$OUT/bench"

.PHONY: bench-deploy
bench-deploy: .venv/.deploy ## Measure a deployment: time by phase, again, a worker more, idle memory; JSON in OUT/bench
	@.venv/bin/python -m benchmarks.deploy --output "$$OUT/bench"

.PHONY: bench-cluster
bench-cluster: mirror ## Measure the platform: its installation, first step, executors against local[2], S3; JSON in OUT/bench
	@.venv/bin/python -m benchmarks.cluster --output "$$OUT/bench"

.PHONY: bench-notebook
bench-notebook: mirror ## Measure notebooks: from Start to JupyterLab, to ready executors, the hub's memory; JSON in OUT/bench
	@tools/apt.sh $(BROWSER)
	@PYTHONPATH=deploy/images/hub .venv/bin/python -m benchmarks.notebook --output "$$OUT/bench"

.PHONY: docs
docs: .venv/.deploy ## Write the READMEs of roles and charts, and the charts' schemas, from what they take
	@.venv/bin/python -m deploy.role_docs
	@"$$(tools/charts.sh)"/helm-docs --log-level warning --chart-search-root helm --template-files ./README.md.gotmpl
	@.venv/bin/python tools/training_schema.py
	@.venv/bin/python tools/schema_descriptions.py

.PHONY: lock
lock: setup ## Resolve the requirements again
	@tools/lock.sh

.PHONY: clean
clean: ## Remove the results and the environment; the cache in ~/.cache/hepspark stays
	@rm -rf -- "$$OUT" .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

.PHONY: clean-cache
clean-cache: ## Remove the cache too; what is needed again is fetched again
	@rm -rf "$${XDG_CACHE_HOME:-$$HOME/.cache}/hepspark"
