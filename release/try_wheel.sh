#!/usr/bin/env bash
# What a new user does, in an empty environment outside the checkout: install the wheel, a first study, the README's Python.
#
#   release/try_wheel.sh python3.13 dist/cpi_jax-0.1.0-py3-none-any.whl
#
# Fails where something fails, or where installing and the first study take longer than MOST seconds (240 on two cores).
set -euo pipefail
python=$1 wheel=$(realpath "$2") readme=$(realpath "$(dirname "$0")/../README.md") runner=$(realpath "$(dirname "$0")/run_readme.py")
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
unset PYTHONPATH
"$python" -m venv environment
started=$SECONDS
environment/bin/pip install --quiet --disable-pip-version-check "$wheel"
installed=$SECONDS
environment/bin/cpi-jax explain --config=shapes:small | tee first.txt
first=$SECONDS
grep -Eq '^ *1 .* red circle ' first.txt || { echo "error: the first study does not rank red circle first" >&2; exit 1; }
environment/bin/cpi-jax verify --workdir=runs/shapes-small
environment/bin/python "$runner" "$readme"
echo "$("$python" --version): installed in $((installed - started)) s, first study in $((first - installed)) s, README in $((SECONDS - first)) s"
[ $((first - started)) -le "${MOST:-240}" ] || { echo "error: installing and the first study took $((first - started)) s" >&2; exit 1; }
