#!/usr/bin/env bash
# All that is worth measuring on a GPU, in one command of at most 8 minutes: a JSON file and a paragraph.
#
#   benchmarks/on_gpu.sh                      # writes runs/on_gpu/on_gpu.json and on_gpu.md
#   benchmarks/on_gpu.sh --folder=elsewhere --minutes=5
#
# Needs `pip install '.[cuda]'`, and for the columns of PyTorch the extra `parity`. PYTHON names the interpreter.
set -euo pipefail
cd "$(dirname "$0")/.."
exec "${PYTHON:-.venv/bin/python}" -m benchmarks.on_gpu "$@"
