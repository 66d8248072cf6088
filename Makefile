# The front door. `make` lists the targets; each is one line that calls a program.
# Settings of the server are environment variables: `make serve PORT=9000 MAX_BATCH_SIZE=8`.

VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.installed
ARCHIVE := build/draft.mar
PACK ?= examples/first_pick.json
DATA ?= data/17lands
CARDS ?= $(DATA)/../cards/default-cards.json.gz

# What `make results` reads: DATA as given, else the default's parent.
BASE = $(if $(filter file,$(origin DATA)),data,$(DATA))
EVALUATE = $(PY) -m training.evaluate --cards $(BASE)/cards/default-cards.json.gz

REQUIREMENTS := $(wildcard config/requirements/*.txt)
ARCHIVE_SOURCES := $(wildcard handler/*.py model/*.py model/weights/*) config/model-config.yaml \
	config/metrics.yaml config/requirements/serve.txt training/package_mar.py \
	training/try_archive.py pyproject.toml

.DEFAULT_GOAL := help
.PHONY: help setup system-packages lint type test test-unit test-contract test-serving test-gateway \
	test-load test-faults loadtest loadtest-ui \
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

lint: $(STAMP)  ## check style (ruff)
	$(PY) -m ruff check .

type: $(STAMP)  ## check types (mypy, strict)
	$(PY) -m mypy

test: lint type mar  ## run every check and every test, with a real TorchServe
	$(PY) -m pytest tests/unit tests/contract tests/serving tests/gateway tests/load tests/faults

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

test-faults: $(STAMP) mar  ## break what can break under load, and count lost and wrong answers
	$(PY) -m pytest tests/faults

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

train: $(STAMP)  ## train on SETS="FDN ..." for EPOCHS=n from DATA=folder, CARDS=file, into OUT=folder (HOLD_OUT="SOS ...")
	$(PY) -m training.train --data "$(DATA)" --cards "$(CARDS)" --output "$(or $(OUT),build/weights)" --sets $(SETS) $(if $(EPOCHS),--epochs $(EPOCHS)) $(if $(HOLD_OUT),--hold-out $(HOLD_OUT)) $(ARGS)

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

clean:  ## remove everything that was built, but not .venv
	rm -rf build .mypy_cache .pytest_cache .ruff_cache .hypothesis
