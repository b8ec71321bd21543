#!/usr/bin/env bash
# The Dockerfile's steps without Docker: its RUN line in an empty environment on a copy of HEAD, then its ENTRYPOINT.
#
#   release/try_dockerfile.sh                                    # a tiny study
#   release/try_dockerfile.sh --config=configs/shapes.py:small --workdir=runs/small
#
# What it does not show: the image that it begins with, and CUDA. PYTHON names a Python 3.11.
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || set -- --config=configs/shapes.py:tiny --workdir=runs/tiny
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
git archive HEAD | tar x -C "$place"
"${PYTHON:-python3.11}" -m venv "$place.environment"
trap 'rm -rf "$place" "$place.environment"' EXIT
export PATH="$place.environment/bin:$PATH" EXTRA=
unset PYTHONPATH
cd "$place"
sed -n 's/^RUN //p' Dockerfile > steps.sh
bash -euxo pipefail steps.sh
entry=$(sed -n 's/^ENTRYPOINT \["\(.*\)"\]$/\1/p' Dockerfile | sed 's/", "/ /g')
$entry "$@"
