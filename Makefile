# `make demo` and `make test` need nothing but Python 3.11–3.13 and make: each builds ./.venv from a hash-locked file.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
HOME_DIR := $(CURDIR)/.nightshift
PIP    := $(BIN)/python -m pip --disable-pip-version-check install -qq --require-hashes
EXTRAS := $(foreach extra,airflow celery login encoders forecast report,--extra $(extra))
SLOW   := faults or hostile or browser or big

.PHONY: help demo test test-all lint format lock clean

help:  ## what there is to type
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 12

demo: $(VENV)/runtime.installed  ## plan a whole night of a made-up workload through Airflow; LOOK=--look leaves it up
	NIGHTSHIFT_HOME=$(HOME_DIR) $(BIN)/routing demo $(LOOK)

test: $(VENV)/dev.installed lint  ## lint, types, import rules, and every test that is not slow
	$(BIN)/python -m pytest -n 2 --dist loadfile

test-all: $(VENV)/dev.installed  ## the slow tests: crashes, hostile input, browser, large instances
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "$(SLOW)"

lint: $(VENV)/dev.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/dev.installed  ## put the code in order
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The development lock holds the runtime's and more, so it counts as both.
$(VENV)/runtime.installed: requirements/runtime.txt pyproject.toml
	@test -e $(VENV)/dev.installed && test ! requirements/dev.txt -nt $(VENV)/dev.installed || $(MAKE) -s venv-from LOCK=runtime
	@touch $@

$(VENV)/dev.installed: requirements/dev.txt pyproject.toml
	@$(MAKE) -s venv-from LOCK=dev
	@touch $@

.PHONY: venv-from
venv-from:
	@echo "building ./$(VENV) from requirements/$(LOCK).txt; the first time this downloads about half a gigabyte"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip --disable-pip-version-check install -qq --upgrade "pip>=25"  # older ones trip over extras that are locked
	@$(PIP) -r requirements/$(LOCK).txt
	@$(BIN)/python -m pip --disable-pip-version-check install -qq --no-deps --no-build-isolation --editable .

lock:  ## resolve the dependencies anew (needs uv)
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-strip-extras \
	    $(EXTRAS) pyproject.toml requirements/build.in -o requirements/runtime.txt
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-strip-extras \
	    $(EXTRAS) --group dev -c requirements/runtime.txt \
	    pyproject.toml requirements/build.in -o requirements/dev.txt

clean:  ## forget the demo's data and the venv
	rm -rf $(VENV) $(HOME_DIR)
