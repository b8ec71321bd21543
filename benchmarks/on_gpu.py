"""All that is worth measuring on a GPU, in one command: a JSON file and a paragraph.

    benchmarks/on_gpu.sh
    python -m benchmarks.on_gpu --miniature --minutes=20 --folder=/tmp/try    (networks made small, on any machine)

Each part is a process of its own, so that all of the device's memory is its own and one that fails costs no other: the demo
study in float32 and bfloat16 beside the CPU's scores, two processes on one GPU, flash attention beside XLA's, and the
throughput of Stable Diffusion 1.5 and XL, beside PyTorch diffusers where that is installed. What does not fit into the time
is left out, and said.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cpi_jax.files.writing import write_atomically

ROOT = Path(__file__).parents[1]
STUDIES = {
    "cpu": ([], {"JAX_PLATFORMS": "cpu"}),
    "float32": ([], {}),
    "bfloat16": (["--config.sampler.preset=bf16"], {}),
    "two processes": ([], {"XLA_PYTHON_CLIENT_MEM_FRACTION": "0.4"}),
}
SMALL = ["--config.data.num_examples=12", "--config.sampler.steps=1", "--config.concepts=('red circle',)"]
ATTENTION = {"Stable Diffusion 1.5": (8, 4096, 8, 40), "XL": (8, 4096, 10, 64)}  # batch, tokens, heads, size of a head


def study(folder: Path, miniature: bool) -> dict[str, Any]:
    """The demo study on the CPU and in two types on the device; and by two processes that share the device."""
    out: dict[str, Any] = {}
    for name, (fields, environment) in STUDIES.items():
        workers = ["local_workers.py", "--workers=2", "--"] if name == "two processes" else ["explain.py"]
        place = folder / name.replace(" ", "_")
        arguments = [f"--config=shapes:{'tiny' if miniature else 'small'}", f"--workdir={place}", *fields]
        started = time.monotonic()
        start(workers[0], [*workers[1:], *arguments, *SMALL * miniature], environment)
        out[name] = {"seconds": time.monotonic() - started, **generated(place)}
        if name != "cpu":
            beside = "float32" if name == "two processes" else "cpu"
            out[name][f"beside {beside}"] = differences(scores_of(folder / beside), scores_of(place))
    return out


def attention(folder: Path, miniature: bool) -> dict[str, Any]:
    """Seconds of cuDNN's flash attention and of XLA's, in bfloat16, and how far their outputs differ."""
    import jax
    import jax.numpy as jnp

    from cpi_jax.networks.attention import attention_kernel

    out = {}
    for name, (batch, tokens, heads, size) in ATTENTION.items():
        shape = (1, 64, 2, size) if miniature else (batch, tokens, heads, size)
        inputs = [jax.random.normal(key, shape, jnp.bfloat16) for key in jax.random.split(jax.random.key(0), 3)]
        kernels = {"xla", attention_kernel(jax.local_devices()[0], jnp.dtype(jnp.bfloat16), size, shape[1])}
        row, values = {}, {}
        for kernel in sorted(kernels):
            run = jax.jit(lambda *x, kernel=kernel: jax.nn.dot_product_attention(*x, implementation=kernel))
            values[kernel] = np.asarray(jax.block_until_ready(run(*inputs)), np.float32)
            row[f"{kernel}_ms"] = 1e3 * min(_seconds(run, *inputs) for _ in range(10))
        row["chosen"] = max(kernels - {"xla"}, default="xla")
        row["largest_difference"] = float(np.abs(values[row["chosen"]] - values["xla"]).max())
        out[name] = row
    return out


def throughput(size: str, miniature: bool) -> dict[str, Any]:
    """Images a second in bfloat16 of an architecture with random weights."""
    from benchmarks.sd_throughput import measure
    from cpi_jax.diffusion.sampler_settings import SamplerSettings

    steps, batch, rounds = (1, 0, 1) if miniature else (20, 16 if size == "sd15" else 4, 3)
    torch = size == "sd15" and not miniature and all(map(importlib.util.find_spec, ("torch", "diffusers")))
    settings = SamplerSettings(steps, 7.5, dtype="float32" if miniature else "bfloat16")
    return measure(size, settings, batch=batch, num_rounds=rounds, beside_torch=torch, miniature=miniature)


# In the order of how much they tell; each takes its folder and whether to be small.
PARTS = {
    "study": study,
    "attention": attention,
    "sd15": lambda folder, miniature: throughput("sd15", miniature),
    "sdxl": lambda folder, miniature: throughput("sdxl", miniature),
}


def start(program: str, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
    """Runs a program of launch/."""
    command = [sys.executable, str(ROOT / "launch" / program), *arguments]
    subprocess.run(command, env={**os.environ, **environment}, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


def generated(folder: Path) -> dict[str, Any]:
    """How many images a study made, and the names of the two concepts that it ranks first."""
    content = json.loads((folder / "importance.json").read_text())["importance"]
    values = dict(zip(content["names"], content["value"][0]))
    images = json.loads((folder / "provenance.json").read_text())["images_generated"]
    return {"images": images, "ranking": sorted(values, key=values.get, reverse=True)[:2]}


def scores_of(folder: Path) -> dict[str, np.ndarray]:
    """The first draw's scores of a study, by scorer."""
    from cpi_jax.store.store import Store

    store = Store.open_existing(folder)
    assert store is not None, folder
    return {name: np.asarray(table[0]) for name, table in store.read_scores(1).items()}


def differences(expected: Mapping[str, np.ndarray], found: Mapping[str, np.ndarray]) -> dict[str, dict[str, float]]:
    """By scorer: the largest difference of the scores, and their correlation.

    Raises:
      ValueError: where scores are missing, or tables are of other shapes.
    """
    out = {}
    for name, table in expected.items():
        if table.shape != found[name].shape or not (np.isfinite(table).all() and np.isfinite(found[name]).all()):
            raise ValueError(f"the scores of the {name} are not whole, or of another study")
        correlation = np.corrcoef(table.ravel(), found[name].ravel())[0, 1]
        out[name] = {"largest": float(np.abs(table - found[name]).max()), "pearson": float(correlation)}
    return out


def describe(found: Mapping[str, Any]) -> str:
    """The paragraph: what was measured, in sentences."""
    parts, lines = found["parts"], [f"On {found['device']} (jax {found['jax']}), {found['seconds']:.0f} s in all."]
    for name, reason in found["left_out"].items():
        lines.append(f"Not measured: {name} ({reason}).")
    for name, row in parts.get("study", {}).items():
        lines.append(f"Demo study, {name}: {row['images']} images and results in {row['seconds']:.0f} s.")
        for beside, scorers in ((key, value) for key, value in row.items() if key.startswith("beside")):
            differ = ", ".join(f"{s} {d['largest']:.1e} (r = {d['pearson']:.6f})" for s, d in scorers.items())
            lines.append(f"Its scores {beside.replace('beside', 'differ from those of')} by at most: {differ}.")
    for name, row in parts.get("attention", {}).items():
        times = ", ".join(f"{key.removesuffix('_ms')} {row[key]:.2f} ms" for key in row if key.endswith("_ms"))
        lines.append(
            f"Attention of {name}: {times}; {row['chosen']} is chosen, and differs by {row['largest_difference']:.1e}."
        )
    for name in ("sd15", "sdxl"):
        for contestant, row in parts.get(name, {}).get("contestants", {}).items():
            lines.append(
                f"{parts[name]['size']}, {contestant}: {row['images_per_s']:.3g} images/s, {row['share_of_matmul']:.0%} "
                f"of the measured matmul rate."
            )
        if name in parts:
            beside = parts[name]["beside_torch"]
            lines.append(
                f"Peak memory: {parts[name]['peak_memory']}." + (f" {beside:.2f} x PyTorch's speed." if beside else "")
            )
    return " ".join(lines)


def run_part(name: str, folder: Path, miniature: bool, seconds: float) -> tuple[dict[str, Any] | None, str]:
    """What a part measured in a process of its own, or why it did not."""
    out = folder / f"{name}.json"
    command = [sys.executable, "-m", "benchmarks.on_gpu", f"--part={name}", f"--folder={folder}"]
    try:
        subprocess.run([*command, *["--miniature"] * miniature], cwd=ROOT, check=True, timeout=seconds)
    except subprocess.TimeoutExpired:
        return None, "no time was left"
    except subprocess.CalledProcessError as error:
        return None, f"it ended with code {error.returncode}: see what it said above"
    return json.loads(out.read_text()), ""


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("runs/on_gpu"))
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--miniature", action="store_true")
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    started, folder = time.monotonic(), options.folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    if options.part:
        write_atomically(folder / f"{options.part}.json", json.dumps(PARTS[options.part](folder, options.miniature)))
        return
    if not options.miniature and any((folder / name.replace(" ", "_")).exists() for name in STUDIES):
        sys.exit(f"error: {folder} holds an earlier run, whose studies would not be made again: name another --folder")
    parts, left_out = {}, {}
    for name in PARTS:
        found, reason = run_part(name, folder, options.miniature, 60 * options.minutes - (time.monotonic() - started))
        parts |= {name: found} if found is not None else {}
        left_out |= {name: reason} if reason else {}
    import jax

    device = f"{jax.device_count()} x {jax.devices()[0].device_kind}"
    found = {"device": device, "jax": jax.__version__, "seconds": time.monotonic() - started}
    found |= {"miniature": options.miniature, "parts": parts, "left_out": left_out}
    write_atomically(folder / "on_gpu.json", json.dumps(found, indent=2))
    write_atomically(folder / "on_gpu.md", describe(found) + "\n")
    print(describe(found))
    if left_out:
        sys.exit(1)


def _seconds(run: Callable[..., Any], *inputs: Any) -> float:
    started = time.perf_counter()
    run(*inputs).block_until_ready()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
