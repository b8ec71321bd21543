PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test lint

demo: .venv/installed
	$(BIN)/python launch/explain.py --config=configs/shapes.py --workdir=runs/shapes

test: .venv/installed
	$(BIN)/python -m pytest

lint: .venv/installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	$(BIN)/pip install --quiet --no-deps open-clip-torch==3.3.0  # for the tests: CLIP's vocabulary, without torch
	touch $@
