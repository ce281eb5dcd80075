# make demo    the daemon on its sandbox, asked twice; it then serves until Ctrl-C (ONCE=1: it ends)
# make test    the tests
# make coverage  the tests, and which lines of the package they reach
# make exchanges  record the exchanges of tests/exchanges anew, after a change that is meant
# make lint    style and types
# make soak    a daemon under load, with faults, for SECONDS
# make bench   the daemon beside others on the same work: the tables of docs/performance.md
#              (ONLY=cpu,latency: some parts; ROUNDS=2: fewer rounds; JSON=file: the figures as well)
# make simulation  outages of a directory in simulated fleets: the table of docs/directories.md
# make fuzz    hostile input, for SECONDS
# make generated  the tables of docs/, manual pages and completion, from the code
# make docs    the documents as a site, in build/docs
# make deb     the Debian package, in dist/
# make debian-trial  that package in a booted Debian 12: needs root, debootstrap and a network at first
# make image-test  the image, built and tried without an engine: needs root, buildah, debootstrap and a network
# make clean   remove what these have made
#
# PYTHON=...   the Python to use instead of the newest that is found; VENV=... another place than .venv

VENV ?= .venv
WORKS := -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))'

ifndef PYTHON
PYTHON := $(shell for python in python3.14 python3.13 python3.12 python3.11 python3; do \
	$$python $(WORKS) 2>/dev/null && echo $$python && break; done)
endif

.PHONY: demo test coverage exchanges lint soak bench simulation fuzz generated docs deb debian-trial \
	image-test clean
.NOTPARALLEL:

demo: $(VENV)/.run
	$(VENV)/bin/python -m ropg_twisted.sandbox.demo $(if $(ONCE),--once)

test: $(VENV)/.test
	$(VENV)/bin/python -m twisted.trial -j2 tests

# Every Python that is started with these variables measures itself, so daemons are measured too.
MEASURED := COVERAGE_PROCESS_START='$(CURDIR)/setup.cfg' COVERAGE_FILE='$(CURDIR)/.coverage'

coverage: $(VENV)/.test
	$(VENV)/bin/coverage erase
	$(MEASURED) $(VENV)/bin/python -m twisted.trial -j2 tests
	$(VENV)/bin/coverage combine --quiet
	$(VENV)/bin/coverage report

exchanges: $(VENV)/.test
	$(VENV)/bin/python -m tests.exchanges

soak: $(VENV)/.test
	$(VENV)/bin/python -m tests.soak $(if $(SECONDS),--seconds $(SECONDS))

bench: $(VENV)/.test
	$(VENV)/bin/python -m tests.bench $(if $(ONLY),--only $(ONLY)) $(if $(ROUNDS),--rounds $(ROUNDS)) \
		$(if $(JSON),--json $(JSON))

simulation: $(VENV)/.test
	$(VENV)/bin/python -m tests.simulation

fuzz: $(VENV)/.test
	$(VENV)/bin/python -m tests.fuzz $(if $(SECONDS),--seconds $(SECONDS))

generated: $(VENV)/.test
	$(VENV)/bin/python -m tools.generate

docs: $(VENV)/.docs
	$(VENV)/bin/python -m tools.site build/docs

deb: $(VENV)/.run
	rm -f dist/*.deb
	contrib/debian/build $(VENV)/bin/python dist

# The Debian is kept for the next time.
BASE := /var/tmp/ropg-debian-12

debian-trial: $(VENV)/.test deb
	tests/debian/base $(BASE)
	unshare -n $(VENV)/bin/python -m tests.debian $(BASE) dist/*.deb

# The base image is kept for the next time.
IMAGE := /var/tmp/ropg-image

image-test: $(VENV)/.test
	tests/image/build $(IMAGE)
	unshare -n $(VENV)/bin/python -m tests.image $(IMAGE)

lint: $(VENV)/.test $(VENV)/.lint
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

clean:
	rm -rf $(VENV) build dist *.egg-info _trial_temp* .hypothesis .mypy_cache .ruff_cache .coverage .coverage.*
	find . -name __pycache__ -prune -exec rm -rf {} +
	rm -f twisted/plugins/dropin.cache

# Each of these says that the package is installed with the extras that its name stands for.
$(VENV)/.run: EXTRAS =
$(VENV)/.test: EXTRAS = [test]
$(VENV)/.lint: EXTRAS = [lint]
$(VENV)/.docs: EXTRAS = [docs]
$(VENV)/.run $(VENV)/.test $(VENV)/.lint $(VENV)/.docs: $(VENV)/.made setup.cfg pyproject.toml
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --editable '.$(EXTRAS)'
	touch $@

$(VENV)/.made:
ifeq ($(PYTHON),)
	@echo 'ropg-twisted needs Python 3.11 or later with its venv module, and finds none.' >&2
	@echo 'On Debian: apt install python3-venv. Elsewhere: make PYTHON=/path/to/python3' >&2
	@false
endif
	@$(PYTHON) $(WORKS) || { \
		echo '$(PYTHON) is no Python 3.11 or later with its venv module.' >&2; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	touch $@
