# The front door. `make` lists the targets; each is one line that calls a program.
# Settings of the server are environment variables: `make serve PORT=9000 MAX_BATCH_SIZE=8`.

VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.installed
CHECKOV := build/checkov/bin/checkov
ARCHIVE := build/draft.mar
PACK ?= examples/first_pick.json
DATA ?= data/17lands
CARDS ?= $(DATA)/../cards/default-cards.json.gz

# What `make results` reads: DATA as given, else the default's parent.
BASE = $(if $(filter file,$(origin DATA)),data,$(DATA))
EVALUATE = $(PY) -m training.evaluate --cards $(BASE)/cards/default-cards.json.gz

# Terraform's targets need Python and none of the packages.
PLAIN = $(if $(wildcard $(STAMP)),$(PY),$(or $(PYTHON),python3))
OPERATE = $(PY) -m infrastructure.operations
TERRAFORM = $(PLAIN) -m infrastructure.operations.terraform
ENVIRONMENT = --env "$(or $(ENV),prod)"$(if $(RELEASE), --release $(RELEASE))$(if $(DRY_RUN), --dry-run)
# One process, or as many as there are GPUs.
TRAINER = training.$(if $(filter-out 1,$(GPUS)),launch --nproc-per-node=$(GPUS) --,train)

REQUIREMENTS := $(wildcard config/requirements/*.txt)
ARCHIVE_SOURCES := $(wildcard handler/*.py model/*.py model/weights/*) config/model-config.yaml \
	config/metrics.yaml config/requirements/serve.txt training/package_mar.py \
	training/try_archive.py pyproject.toml

.DEFAULT_GOAL := help
.PHONY: help setup system-packages image-packages lint type test test-unit test-contract test-serving \
	test-gateway test-load test-faults test-infra test-images checkov loadtest loadtest-ui image push \
	plan apply destroy deploy rollback release status logs waf-blocked api-key train-spot cost cost-report \
	mar serve gateway up down predict bench bench-ingest data train evaluate results plots model-card readme clean
# A half-made file must not pass for a finished one.
.DELETE_ON_ERROR:

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP)  ## make the environment in .venv (PYTHON=... to choose the Python)

$(STAMP): $(REQUIREMENTS) infrastructure/setup.sh
	@infrastructure/setup.sh $(VENV)
	@touch $@

system-packages:  ## install nginx and wrk with apt-get, where that can be done
	@infrastructure/system_packages.sh

image-packages:  ## install Podman and what else the tests of the images need with apt-get
	@infrastructure/image_packages.sh

lint: $(STAMP)  ## check style (ruff)
	$(PY) -m ruff check .

type: $(STAMP)  ## check types (mypy, strict)
	$(PY) -m mypy

test: lint type mar  ## run every check and every test, with a real TorchServe
	$(PY) -m pytest tests/unit tests/contract tests/serving tests/gateway tests/load tests/faults tests/infra tests/images

test-unit: $(STAMP)  ## run the unit tests: no server, seconds
	$(PY) -m pytest tests/unit

test-contract: $(STAMP) mar  ## check that documents, configuration and code agree
	$(PY) -m pytest tests/contract

test-serving: $(STAMP) mar  ## test against a real TorchServe: minutes
	$(PY) -m pytest tests/serving

test-gateway: $(STAMP) mar  ## test the gateway with a real nginx before a real TorchServe
	$(PY) -m pytest tests/gateway

test-load: $(STAMP) mar  ## run every load scenario in its short form: minutes
	$(PY) -m pytest tests/load

test-infra: $(STAMP) $(CHECKOV) mar  ## plan, apply, change and destroy the stack on a stand-in for AWS: minutes
	$(PY) -m pytest tests/infra tests/unit/operations

$(CHECKOV): config/requirements/checkov.txt
	$(or $(PYTHON),python3) -m venv build/checkov
	build/checkov/bin/pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@

checkov: $(CHECKOV)  ## check the Terraform for what checkov knows (infrastructure/checkov.yaml)
	$(CHECKOV) --config-file infrastructure/checkov.yaml

test-faults: $(STAMP) mar  ## break what can break under load, and count lost and wrong answers
	$(PY) -m pytest tests/faults

test-images: $(STAMP) mar image-packages  ## build the images, run them as Fargate does, test them (RECORD=1: keep the figures)
	$(PY) -m pytest tests/images
	$(if $(RECORD),$(MAKE) readme)

mar: $(ARCHIVE)  ## build the model archive build/draft.mar and try it

$(ARCHIVE): $(STAMP) $(ARCHIVE_SOURCES)
	$(PY) -m training.package_mar --weights model/weights --output $@

serve: $(if $(MODEL_PATH),$(STAMP),$(ARCHIVE))  ## serve until Ctrl-C (PORT, MODEL_PATH, MAX_BATCH_SIZE, ...)
	@$(PY) -m infrastructure.serve

gateway: $(STAMP)  ## run nginx before a server of `make serve`, until Ctrl-C
	@$(PY) -m infrastructure.gateway

up: $(if $(MODEL_PATH),$(STAMP),$(ARCHIVE))  ## server and gateway in the background (FOREGROUND=1: until Ctrl-C)
	@$(PY) -m infrastructure.up $(if $(FOREGROUND),,--background)

down: $(STAMP)  ## stop what `make up` started
	@$(PY) -m infrastructure.up --down

predict: $(STAMP)  ## rank the pack in PACK=file.json
	@$(PY) -m infrastructure.predict $(PACK)

bench: $(ARCHIVE) system-packages  ## measure throughput and latency beside a no-op archive and FastAPI
	$(PY) -m loadtests.bench $(ARGS)

loadtest: $(if $(HOST),$(STAMP),$(ARCHIVE))  ## play SCENARIO=per_ip and judge it (SHORT=1; HOST=https://... API_KEY=...)
	@$(PY) -m loadtests.run

loadtest-ui: $(if $(HOST),$(STAMP),$(ARCHIVE))  ## play SCENARIO=per_ip in locust's web UI
	@$(PY) -m loadtests.run --ui

bench-ingest: $(STAMP)  ## measure reading 1.5 million rows of DRAFTS=file beside pandas (18 GB of memory)
	$(PY) -m training.bench_ingest $(or $(DRAFTS),$(DATA)/draft_data_public.FDN.PremierDraft.csv.gz) --readme README.md $(ARGS)

data: $(STAMP)  ## download drafts of SETS="FDN ..." (EVENTS="PremierDraft ...") and all cards
	$(PY) -m training.download --drafts $(DATA) --cards $(CARDS) --sets $(SETS) $(if $(EVENTS),--events $(EVENTS)) $(ARGS)

train: $(STAMP)  ## train on SETS="FDN ..." for EPOCHS=n from DATA=folder, CARDS=file, into OUT=folder (HOLD_OUT="SOS ..." GPUS=n RECIPE=file CHECKPOINTS=s3://...)
	$(PY) -m $(TRAINER) --data "$(DATA)" --cards "$(CARDS)" --output "$(or $(OUT),build/weights)" --sets $(SETS) $(if $(EPOCHS),--epochs $(EPOCHS)) $(if $(RECIPE),--recipe "$(RECIPE)") $(if $(CHECKPOINTS),--checkpoints "$(CHECKPOINTS)") $(if $(HOLD_OUT),--hold-out $(HOLD_OUT)) $(ARGS)

evaluate: $(STAMP)  ## measure WEIGHTS=folder on DATA="a.csv.gz ..." with CARDS=file, into OUT=file.json
	$(PY) -m training.evaluate --weights $(or $(WEIGHTS),model/weights) --cards "$(CARDS)" --out $(or $(OUT),build/evaluation.json) $(if $(SPLIT),--split $(SPLIT)) $(if $(CEILINGS),--limits $(CEILINGS)) $(ARGS) $(DATA)

results: $(STAMP)  ## everything behind the model card anew, from DATA=folder (HELD_OUT=weights without some sets)
	$(EVALUATE) --no-plots --split test --limits $(BASE)/17lands/teacher_limits.csv --out training/results/known.json $(BASE)/17lands
	$(EVALUATE) --no-plots --out training/results/human.json $(BASE)/human
	$(if $(HELD_OUT),$(EVALUATE) --no-plots --weights $(HELD_OUT) --held-out --out training/results/unseen.json $(BASE)/17lands)
	$(MAKE) plots model-card readme

plots: $(STAMP)  ## draw the released results
	$(PY) -m training.plots

model-card: $(STAMP)  ## write model/weights/MODEL_CARD.md from the released results
	$(PY) -m training.model_card

readme: $(STAMP)  ## write the result tables into README.md
	$(PY) -m training.readme
	$(PY) -m training.bench_ingest --readme README.md
	$(PY) -m loadtests.kept --readme README.md

plan:  ## show what Terraform would make of ENV=prod; offline where it has no backend.hcl
	@$(TERRAFORM) plan $(ENVIRONMENT)

apply:  ## make or change ENV=prod so that it runs RELEASE=tag; Terraform asks first
	@$(TERRAFORM) apply $(ENVIRONMENT)

destroy:  ## destroy ENV=prod but for its bucket; Terraform asks first
	@$(TERRAFORM) destroy $(ENVIRONMENT)

image: $(ARCHIVE)  ## build the images of TorchServe and the gateway (IMAGES=training: of training)
	@$(PY) -m infrastructure.operations.images build $(if $(IMAGES),--images $(IMAGES))

push: $(STAMP)  ## push the built images to the registry of ENV=prod (IMAGES="torchserve gateway training")
	@$(PY) -m infrastructure.operations.images push --env "$(ENV)" $(if $(IMAGES),--images $(IMAGES))

release: $(ARCHIVE)  ## publish build/draft.mar in the bucket of ENV=prod, once a version (DRY_RUN=1)
	@$(OPERATE).release --env "$(ENV)"

deploy: $(STAMP)  ## run the pushed images RELEASE=tag in ENV=prod; back to the old ones if they fail (DRY_RUN=1)
	@$(OPERATE).deploy --env "$(ENV)" --release "$(RELEASE)"

rollback: $(STAMP)  ## run the images of VERSION=0.1.0 again in ENV=prod (DRY_RUN=1)
	@$(OPERATE).deploy --env "$(ENV)" --version "$(VERSION)"

status: $(STAMP)  ## show tasks, targets, alarms and releases of ENV=prod
	@$(OPERATE).status --env "$(ENV)"

logs: $(STAMP)  ## show the log OF=torchserve (gateway, api, training) of ENV=prod (SINCE=600 FOLLOW=1)
	@$(OPERATE).logs --env "$(ENV)" $(if $(OF),--of $(OF)) $(if $(SINCE),--since $(SINCE)) $(if $(FOLLOW),--follow)

waf-blocked: $(STAMP)  ## count what the firewall of ENV=prod blocked in HOURS=24, by rule and address
	@$(OPERATE).waf --env "$(ENV)" $(if $(HOURS),--hours $(HOURS))

api-key: $(STAMP)  ## make the API key NAME=client in ENV=prod, or DISABLE=1 it (DRY_RUN=1)
	@$(OPERATE).keys --env "$(ENV)" --name "$(NAME)" $(if $(DISABLE),--disable)

train-spot: $(STAMP)  ## train SETS="FDN ..." on a spot GPU of ENV=prod and fetch the weights (RUN=name SIZE=gpu1 DRY_RUN=1)
	@$(OPERATE).spot --env "$(ENV)" --sets "$(SETS)" $(if $(RUN),--run "$(RUN)") $(if $(SIZE),--size "$(SIZE)") $(if $(EPOCHS),--epochs $(EPOCHS)) $(if $(RECIPE),--recipe "$(RECIPE)") $(if $(OUT),--output "$(OUT)")

cost: $(STAMP)  ## print what ENV=prod costs a month, per million picks and per training
	@$(OPERATE).cost $(if $(ENV),--env "$(ENV)")

cost-report: $(STAMP)  ## keep the tables and the plot of `make cost`, and put them into README.md
	$(OPERATE).cost --write
	$(PY) -m training.readme

clean:  ## remove everything that was built, but not .venv
	rm -rf build .mypy_cache .pytest_cache .ruff_cache .hypothesis
