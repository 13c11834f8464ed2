# Everything a fresh Debian or Ubuntu machine with Python 3.11+ needs is installed by these targets:
# Python packages into .venv, and, when root, the system packages that some tests drive.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
UV_VERSION := 0.13.9
VENV := .venv
BIN := $(VENV)/bin
SYSTEM_PACKAGES := prometheus prometheus-alertmanager chromium
ROOT := $(shell [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1 && echo yes)
export UV_PYTHON_DOWNLOADS := never
export UV_PROJECT_ENVIRONMENT := $(VENV)
export UV_COMPILE_BYTECODE := 1

.PHONY: help setup demo test test-long lint types arrows unit bench system screenshot clean

help:  ## what can be made here
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

setup: $(VENV)/.ready  ## Python packages, into .venv

$(VENV)/.ready: pyproject.toml uv.lock Makefile
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Watchkeeper needs Python 3.11 or newer; PYTHON=/path/to/python3.11 make setup uses another one." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { \
	  if [ "$(ROOT)" = yes ]; then \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq python3-venv >/dev/null; \
	  else \
	    echo "This Python cannot make virtual environments; install the package python3-venv and run make again." >&2; exit 1; \
	  fi; }
	@[ -x $(BIN)/python ] || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip >/dev/null
	@$(BIN)/python -m uv --version >/dev/null 2>&1 || $(BIN)/python -m pip install -q uv==$(UV_VERSION)
	$(BIN)/python -m uv sync -q --frozen --inexact --extra demo --group dev
	@touch $@

demo: setup  ## a small real platform, watched: live in a minute (Ctrl-C ends it and leaves nothing)
	@$(BIN)/watchkeeper demo start

test: setup system lint types arrows unit  ## everything that must be green before a change lands

lint:
	$(BIN)/ruff check -q src tests bench
	$(BIN)/ruff format -q --check src tests bench

types:
	$(BIN)/mypy

arrows:
	$(BIN)/lint-imports --no-logo 2>/dev/null || $(BIN)/lint-imports

# What measures time, or runs a whole platform, has the machine for itself; everything else shares it, one file a worker.
ALONE := tests/app/test_answers.py tests/app/test_load.py tests/demo

unit:
	$(BIN)/python -m pytest -m 'not long' -n 2 --dist loadfile $(ALONE:%=--ignore=%)
	$(BIN)/python -m pytest -m 'not long' $(ALONE)

test-long: setup system  ## the suites that take many minutes
	WATCHKEEPER_EXPLORE=1 $(BIN)/python -m pytest -m 'long or hypothesis' -n 2 --dist loadfile

bench: setup system  ## every figure in the README, beside its peer
	$(BIN)/python -m bench startup
	$(BIN)/python -m bench scrape
	$(BIN)/python -m bench rules
	$(BIN)/python -m bench page-latency
	$(BIN)/python -m bench storm
	$(BIN)/python -m bench runner
	$(BIN)/python -m bench console

system:
	@missing=""; for package in $(SYSTEM_PACKAGES); do \
	  command -v $$package >/dev/null 2>&1 || missing="$$missing $$package"; done; \
	[ -z "$$missing" ] && exit 0; \
	if [ "$(ROOT)" = yes ]; then \
	  echo "installing$$missing"; \
	  apt-get update -qq; RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null; \
	else \
	  echo "not root: tests that drive$$missing are skipped (apt-get install$$missing brings them)"; \
	fi

screenshot: setup system  ## the pictures in the README, from a running demo
	$(BIN)/python -m tests.screenshot docs/images

clean:
	rm -rf $(VENV) artifacts .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
