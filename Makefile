# Needs make and Python >= 3.11 with venv; everything else is installed from the lock files.
#
#   make demo      simulated exchanges, the proxy and one user; stays up until Ctrl-C
#   make test      lint, types and every test
#   make compiled  the quick wheel, its hot modules compiled (needs a C compiler, Python's headers)
#   make bench     CPU per request beside nginx passing through (needs nginx); ARGS="--help"
#   make lock      write the lock files anew (needs uv)
#   make clean     remove what the others made

.DEFAULT_GOAL := help
.PHONY: help demo test compiled bench lock clean
.DELETE_ON_ERROR:

# The first interpreter that is new enough and can make environments; override with PYTHON=...
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	"$$python" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' \
	2>/dev/null && echo "$$python" && break; done)

VENV := .venv
PIP := $(VENV)/bin/python -m pip --disable-pip-version-check --quiet
PIP_INSTALL := $(PIP) install --require-hashes --requirement
# The lock files have every dependency, the build's too: nothing more may be looked up.
SELF := $(PIP) install --no-deps --no-build-isolation --no-index --editable .
MALLOC := $$(grep -v '^\#' deploy/malloc.env)

BUILD := build/compiled
CAN_COMPILE = $(VENV)/bin/python -c 'import os, shutil, sys, sysconfig as config; \
	compiler = (os.environ.get("CC") or config.get_config_var("CC") or "cc").split()[0]; \
	header = os.path.join(config.get_path("include"), "Python.h"); \
	sys.exit(not (shutil.which(compiler) and os.path.isfile(header)))'

help:
	@sed -n 's/^#   //p' Makefile

demo: $(VENV)/.run
	env $(MALLOC) $(VENV)/bin/tagproxy demo $(ARGS)

test: $(VENV)/.test
	PATH="$(CURDIR)/$(VENV)/bin:$$PATH" tests/check.sh $(ARGS)

compiled: $(BUILD)/.made
	@echo $(BUILD)/*.whl

bench: $(VENV)/.test
	@if $(CAN_COMPILE); then $(MAKE) --no-print-directory compiled; else \
		echo "make: no C compiler, or no Python.h: only the pure build is measured" >&2; fi
	$(VENV)/bin/python -m tests.bench $(ARGS)

# Unpacked in site too, for the bench and CI to import it from; never beside the sources.
$(BUILD)/.made: $(VENV)/.test setup.py $(shell find proxy -name '*.py' -o -name '*.toml')
	rm -rf build/lib* build/bdist* $(BUILD)
	TAGPROXY_COMPILE=1 $(VENV)/bin/python -m build --quiet --wheel --no-isolation --outdir $(BUILD)
	$(PIP) install --no-deps --no-index --target $(BUILD)/site $(BUILD)/*.whl
	@touch $@

$(VENV)/.made:
	@test -n "$(PYTHON)" || { \
		echo "make: no Python >= 3.11 with venv and pip was found (on Debian: python3-venv);" \
			"name one with make PYTHON=/path/to/python3" >&2; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	@touch $@

$(VENV)/.run: $(VENV)/.made requirements.lock pyproject.toml
	$(PIP_INSTALL) requirements.lock
	$(SELF)
	@touch $@

$(VENV)/.test: $(VENV)/.made tests/requirements.lock pyproject.toml
	$(PIP_INSTALL) tests/requirements.lock
	$(SELF)
	@touch $@

# No registry's name gets into the lock files; hashes cover every platform and Python.
COMPILE := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-annotate --no-header --no-emit-index-url $(UPGRADE)
CLIENTS := ccxt==4.5.90 okx==2.1.2 python-okx==0.4.4 mexc-api==0.0.2 pymexc==1.3.0 \
	kucoin-universal-sdk==1.3.2 python-kucoin==2.2.0

lock:
	echo 'setuptools>=80' | $(COMPILE) pyproject.toml - --output-file requirements.lock
	$(COMPILE) pyproject.toml --group dev --constraint requirements.lock \
		--output-file tests/requirements.lock
	$(foreach pin,$(CLIENTS),echo '$(pin)' | $(COMPILE) - \
		--output-file tests/clients/$(firstword $(subst ==, ,$(pin))).lock;)

clean:
	rm -rf $(VENV) .clients build dist *.egg-info .coverage .coverage.* coverage.xml \
		.pytest_cache .mypy_cache .ruff_cache .hypothesis
	find proxy tests -name __pycache__ -type d -prune -exec rm -rf {} +
