# statetrack: every target installs what it needs into $(VENV), pinned by constraints.txt, once.
PYTHON ?= python3
VENV ?= .venv
WORKERS ?= 2
# Who has finished takes over tests of who has not: kernels, which take half the time, are all in a row.
PYTEST = $(VENV)/bin/python -m pytest -n $(WORKERS) --dist worksteal

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run test test-all test-versions lint types docs clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-13s %s\n", $$1, $$2}' Makefile

run: $(VENV)/.installed-core ## train the first experiment on the CPU and write its figure, report and table
	$(VENV)/bin/statetrack grid experiments/eigenvalue_ranges.py --preset cpu

test: $(VENV)/.installed-all ## run the tests, all but the slow ones
	$(PYTEST)

test-all: $(VENV)/.installed-all ## run every test, the slow ones too (some need GAP: CONTRIBUTING.md)
	$(PYTEST) -m ""
	$(MAKE) test-versions

# Half an hour; `make test-versions VERSIONS=docs/versions.md` renews the page of the documentation.
VERSIONS ?= build/versions.md
test-versions: ## install what is shipped with oldest and newest versions on every Python found, and test it
	$(PYTHON) -m tests.versions --write $(VERSIONS)

lint: $(VENV)/.installed-all ## check style and the banned constructs
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	PATH="$(abspath $(VENV))/bin:$$PATH" SKIP=ruff-format,ruff-check,mypy pre-commit run --all-files

types: $(VENV)/.installed-all ## check types
	$(VENV)/bin/mypy

docs: $(VENV)/.installed-all ## build the documentation into docs/_build/html, warnings are errors
	$(VENV)/bin/sphinx-build -W --keep-going -b html docs docs/_build/html

clean: ## remove the environment and everything built; results under runs/ stay
	rm -rf $(VENV) .bootstrap build dist docs/_build .mypy_cache .pytest_cache .ruff_cache .hypothesis

# The packages alone (core), or with every extra of pyproject.toml (all): one call of pip for all targets.
# What is optional for users is among them, so that no test is skipped that pip can serve.
# Bytecode is compiled afterwards, on all processors; some files are for newer versions of Python.
EXTRAS_core =
EXTRAS_all = [test,algebra,data,ray,slurm,dev,docs]
$(VENV)/.installed-%: pyproject.toml constraints.txt | $(VENV)/bin/pip
	@echo "installing into $(VENV): a minute with the CPU build of torch, longer with CUDA"
	$(VENV)/bin/python -m pip install --quiet --no-compile --constraint constraints.txt --editable ".$(EXTRAS_$*)"
	$(VENV)/bin/python -m compileall -qq -j 0 -x '/tests?/' $(VENV)/lib || true
	touch $@

# A Python without ensurepip (Debian's, bare) cannot make an environment: virtualenv can.
$(VENV)/bin/pip:
	$(PYTHON) -m venv $(VENV) || { \
	  $(PYTHON) -m pip install --quiet --constraint constraints.txt --target .bootstrap virtualenv && \
	  PYTHONPATH=.bootstrap $(PYTHON) -m virtualenv --quiet $(VENV); }
