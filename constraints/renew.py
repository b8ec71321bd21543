"""Prints the releases that pip chooses today for this Python: `make constraints PYTHON=python3.13`. Installs nothing."""

import json
import subprocess
import sys

ASKED = ["install", "--dry-run", "--ignore-installed", "--quiet", "--report=-", "--editable=.[dev,docs,parity]"]
OF_GPUS = ("cuda-", "nvidia-", "triton")  # what torch asks for beside, of its own releases

report = subprocess.run([sys.executable, "-m", "pip", *ASKED, *sys.argv[1:]], check=True, stdout=subprocess.PIPE).stdout
chosen = {(part := install["metadata"])["name"]: part["version"] for install in json.loads(report)["install"]}
for name in sorted(chosen, key=str.lower):
    if name != "cpi_jax" and not name.startswith(OF_GPUS):
        print(f"{name}=={chosen[name].partition('+')[0]}")  # without +cpu
