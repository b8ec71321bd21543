#!/usr/bin/env bash
# A study on a TPU slice: queued resource, copy, run on all hosts, collect, delete. Prints the commands it runs.
#
#   launch/tpu_vm.sh create  NAME ZONE v5litepod-16        (then wait: launch/tpu_vm.sh state NAME ZONE)
#   launch/tpu_vm.sh copy    NAME ZONE
#   launch/tpu_vm.sh run     NAME ZONE --config=configs/shapes.py --workdir=gs://BUCKET/runs/shapes
#   launch/tpu_vm.sh collect gs://BUCKET/runs/shapes runs/shapes
#   launch/tpu_vm.sh delete  NAME ZONE
#
# Nothing is run unless GO=1 is set: GO=1 launch/tpu_vm.sh create ... Preemptible: SPOT=1. Runtime: RUNTIME=v2-alpha-tpuv5-lite.
# A slice of several hosts needs a workdir under gs://; its hosts find each other through jax.distributed.
set -euo pipefail

usage() { sed -n '2,13s/^# \{0,1\}//p' "$0"; exit 2; }
run() { printf '%q ' "$@"; echo; if [ "${GO:-0}" = 1 ]; then "$@"; fi; }

[ $# -ge 3 ] || usage
action=$1; shift
case $action in
  create)
    [ $# -eq 3 ] || usage
    run gcloud compute tpus queued-resources create "$1" --node-id="$1" --zone="$2" --accelerator-type="$3" \
      --runtime-version="${RUNTIME:-v2-alpha-tpuv5-lite}" ${SPOT:+--spot} ;;
  state)
    run gcloud compute tpus queued-resources describe "$1" --zone="$2" --format='value(state.state)' ;;
  copy)
    run git archive --format=tar.gz --output=/tmp/cpi_jax.tar.gz HEAD
    run gcloud compute tpus tpu-vm scp /tmp/cpi_jax.tar.gz "$1":cpi_jax.tar.gz --zone="$2" --worker=all
    run gcloud compute tpus tpu-vm ssh "$1" --zone="$2" --worker=all \
      --command='mkdir -p cpi_jax && tar xzf cpi_jax.tar.gz -C cpi_jax && cd cpi_jax && python3 -m venv .venv && .venv/bin/pip install -q -c constraints/$(python3 -c "import sys; print(*sys.version_info[:2], sep=\".\")").txt -e ".[tpu]"' ;;
  run)
    name=$1; zone=$2; shift 2
    case " $* " in *"--workdir=gs://"*) ;; *) echo "error: a slice's hosts share no disk: give --workdir=gs://..." >&2; exit 1 ;; esac
    run gcloud compute tpus tpu-vm ssh "$name" --zone="$zone" --worker=all \
      --command="cd cpi_jax && .venv/bin/python launch/explain.py$(printf ' %q' "$@")" ;;
  collect)
    run mkdir -p "$2"
    run gcloud storage rsync --recursive "$1" "$2" ;;
  delete)
    run gcloud compute tpus queued-resources delete "$1" --zone="$2" --force --quiet ;;
  *) usage ;;
esac
