# difflab: every target installs what it needs.
EXP  ?= fashion_cosine
ARGS ?=
FROM ?=
N    ?= 64
TASK ?= inpaint
SWEEP ?= schedules
J    ?= 1
SIZE ?= 32
PYTHON ?= python3

VENV    := .venv
BIN     := $(VENV)/bin
DIFFLAB := $(BIN)/difflab

.DEFAULT_GOAL := help
.PHONY: help install train sweep sample edit evaluate likelihood novelty agreement explain export report compare dashboard \
	doctor test test-all lint data-emoji bench

help: ## show this table
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | awk -F'\t' '{printf "  make %-12s %s\n", $$1, $$2}'

install: $(VENV)/.installed ## install difflab and the exact versions of constraints.txt into .venv

$(BIN)/python:
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing difflab and its exact versions into $(VENV) (once, a minute or more)"
	@$(BIN)/python -m pip install -q -c constraints.txt -e .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing difflab and what its tests need into $(VENV) (once, a minute or more)"
	@$(BIN)/python -m pip install -q -c constraints.txt -e '.[dev,hub,tensorboard,emoji,bench,search,slurm,dashboard]'
	@touch $(VENV)/.installed $@

train: install ## train an experiment: make train EXP=emoji_cosine ARGS="train.seed=1", or go on: make train FROM=runs/...
	$(DIFFLAB) train $(if $(FROM),resume=$(FROM),experiment=$(EXP)) $(ARGS)

sweep: install ## many runs: make sweep SWEEP=schedules EXP=fashion_cosine J=2, or of one run: make sweep SWEEP=samplers FROM=runs/...
	$(DIFFLAB) $(if $(FROM),evaluate -m from=$(FROM),train -m -j $(J) experiment=$(EXP)) sweep=$(SWEEP) $(ARGS)

sample: install ## make pictures with a run: make sample FROM=runs/... N=64
	$(DIFFLAB) sample from=$(FROM) n=$(N) $(ARGS)

edit: install ## use a run on a picture: make edit FROM=runs/... TASK=inpaint ARGS="image=photo.png mask=mask.png"
	$(DIFFLAB) edit from=$(FROM) task=$(TASK) $(ARGS)

evaluate: install ## score a run against its data: make evaluate FROM=runs/...
	$(DIFFLAB) evaluate from=$(FROM) $(ARGS)

novelty: install ## is it new? samples beside their nearest training pictures: make novelty FROM=runs/...
	$(DIFFLAB) novelty from=$(FROM) $(ARGS)

agreement: install ## do samples show what they were asked for? of a run with labels or text: make agreement FROM=runs/...
	$(DIFFLAB) agreement from=$(FROM) $(ARGS)

likelihood: install ## bits per dimension of held-out pictures: make likelihood FROM=runs/...
	$(DIFFLAB) likelihood from=$(FROM) $(ARGS)

explain: install ## draw what diffusion does: make explain ARGS="schedule=rectified", or of a run: make explain FROM=runs/...
	$(DIFFLAB) explain $(if $(FROM),from=$(FROM)) $(ARGS)

export: install ## a run to give away, without what only training needs: make export FROM=runs/... ARGS="out=DIR"
	$(DIFFLAB) export from=$(FROM) $(ARGS)

report: install ## an HTML page of a run, a sweep or several runs: make report FROM="RUN RUN"
	$(DIFFLAB) report $(FROM) $(ARGS)

compare: install ## what differs between two runs: make compare A=runs/... B=runs/...
	$(DIFFLAB) compare $(A) $(B) $(ARGS)

dashboard: install ## save the project's W&B workspace: make dashboard ARGS="entity=TEAM"
	@$(BIN)/python -m pip install -q -c constraints.txt -e '.[dashboard]'
	$(DIFFLAB) dashboard $(ARGS)

doctor: install ## show what a data set would feed: make doctor ARGS="data=emoji"
	$(DIFFLAB) doctor $(ARGS)

test: $(VENV)/.installed-dev ## run the tests, without the slow ones
	$(BIN)/python -m pytest -n auto --dist loadfile

test-all: $(VENV)/.installed-dev ## run all tests
	$(BIN)/python -m pytest -m ''

lint: $(VENV)/.installed-dev ## check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

data-emoji: $(VENV)/.installed-dev ## render the emoji set again: make data-emoji SIZE=64
	$(BIN)/python data/build_emoji.py --size $(SIZE)

bench: $(VENV)/.installed-dev ## measure training beside this processor's own convolutions, what figures and W&B cost, what samplers reach
	$(BIN)/python bench/throughput.py
	$(BIN)/python bench/metrics.py
	$(BIN)/python bench/samplers.py
	$(BIN)/python bench/inpainting.py
	$(BIN)/python bench/sweeps.py
	$(BIN)/python bench/tracking.py
