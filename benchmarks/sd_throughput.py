"""Images a second of Stable Diffusion: this package beside PyTorch diffusers, on the same device, in one run.

    python benchmarks/sd_throughput.py --size=embedded
    python benchmarks/sd_throughput.py --size=sd15 --batch=16 --dtype=bfloat16      # a GPU; random weights
    python benchmarks/sd_throughput.py --size=sd15 --no-torch                       # without the extra `parity`

Same weights, captions' length, batch, steps, guidance and dtype. PyTorch runs UNet, autoencoder and text encoder with its
scaled-dot-product attention, once eagerly and once under torch.compile where that works. Rounds of the contestants
alternate; the median round counts. The share is of the matmul rate that is measured on this device in this run. One GPU,
the first of `CUDA_VISIBLE_DEVICES`; of a CPU all cores. Prints Markdown.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["CUDA_VISIBLE_DEVICES"] = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # PyTorch needs memory beside JAX

import jax
import jax.numpy as jnp
import numpy as np

from cpi_jax.cli.cpu_devices import use_cores
from cpi_jax.diffusion.architectures import ARCHITECTURES
from cpi_jax.diffusion.checkpoint import load_generator, save_checkpoint
from cpi_jax.diffusion.generator import Generator, sample
from cpi_jax.diffusion.make_generator import make_generator
from cpi_jax.diffusion.miniature import miniature_networks
from cpi_jax.diffusion.networks import build_networks, init_params
from cpi_jax.diffusion.sampler_settings import SamplerSettings
from cpi_jax.embedded import SHAPES_GENERATOR
from cpi_jax.errors import InputError
from cpi_jax.files.json_files import read_json
from cpi_jax.generation import sharding
from cpi_jax.generation.flops import count_flops

GIB = 2.0**30
OWN = "cpi_jax"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=["embedded", *ARCHITECTURES], default="embedded")
    parser.add_argument("--batch", type=int, default=0, help="images at once; 0: 64 embedded, 16 on a GPU, else 2")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--guidance", type=float, default=3.0)
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--torch", action=argparse.BooleanOptionalAction, default=True)
    options = parser.parse_args()
    use_cores()
    found = measure(
        options.size,
        SamplerSettings(options.steps, options.guidance, dtype=options.dtype),
        batch=options.batch,
        num_rounds=options.rounds,
        beside_torch=options.torch,
    )
    print(f"{found['device']}; jax {jax.__version__}")
    print(
        f"{options.size}, batch {found['batch']}, {options.steps} steps, guidance {options.guidance:g}, {options.dtype}: "
        f"{found['tflop_per_image']:.4g} TFLOP an image; matmul {found['matmul_tflops']:.3g} TFLOP/s"
    )
    for name, reason in found["not_run"].items():
        print(f"{name} does not run here: {reason}")
    print("\n| | images/s | UNet evaluations/s | share of matmul rate | beside PyTorch | first call, s |")
    print("|---|---|---|---|---|---|")
    for name, row in found["contestants"].items():
        beside = f"{found['beside_torch']:.2f}x" if name == OWN and found["beside_torch"] else ""
        speeds = f"{row['images_per_s']:.4g} | {row['evaluations_per_s']:.4g} | {row['share_of_matmul']:.0%}"
        print(f"| {name} | {speeds} | {beside} | {row['first_call_s']:.1f} |")
    print(f"\npeak memory: {found['peak_memory']}")


def measure(
    size: str,
    settings: SamplerSettings,
    *,
    batch: int = 0,
    num_rounds: int = 5,
    beside_torch: bool = True,
    miniature: bool = False,
) -> dict[str, Any]:
    """Images a second of the sampler, and of PyTorch's.

    Args:
      size: "embedded", or one of `ARCHITECTURES`.
      settings: of the sampler.
      batch: images at once; 0: 64 embedded, 16 on a GPU, else 2.
      num_rounds: whose median counts.
      beside_torch: whether PyTorch diffusers does the same work; of the sizes with one text encoder.
      miniature: whether every width of the architecture is made small, to try this out.

    Raises:
      InputError: for a batch that the devices cannot share.
    """
    device = jax.local_devices()[0]
    batch = batch or (64 if size == "embedded" else 16 if device.platform == "gpu" else 2)
    if batch % jax.local_device_count():
        raise InputError(f"--batch must be a multiple of the {jax.local_device_count()} devices")
    not_run: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder, generator = make(size, settings, Path(temporary), beside_torch, miniature)
        keys = jax.random.split(jax.random.key(0), batch)
        ids = jnp.tile(generator.params.unconditional, (batch, 1)).at[:, 1].set(1)
        step = sharding.split_rows(sample, sharding.local_mesh(), num_replicated=1, num_split=2)
        contestants = {OWN: lambda: jax.block_until_ready(step(generator, ids, keys))}
        if beside_torch:
            contestants |= torch_samplers(folder, settings, np.asarray(ids), generator.apply.networks.latent_shape)
        first, rounds = {}, {name: [] for name in contestants}
        for name, run in list(contestants.items()):
            try:
                first[name] = seconds(run)
            except Exception as error:
                if name == OWN:
                    raise
                not_run[name] = (str(error).splitlines() or [type(error).__name__])[0]  # torch.compile needs a compiler
                contestants.pop(name), rounds.pop(name)
        for _ in range(num_rounds):
            for name, run in contestants.items():
                rounds[name].append(seconds(run))
    work = count_flops(jax.make_jaxpr(lambda *x: generator.apply(*x))(generator.params, ids, keys))
    rate = matmul_rate(jnp.dtype(settings.dtype))
    evaluations = settings.steps * (1 if settings.guidance_scale == 1 else 2)
    each = {name: statistics.median(times) for name, times in rounds.items()}
    others = [median for name, median in each.items() if name != OWN]
    return {
        "device": f"{jax.local_device_count()} x {device.device_kind}, {platform.machine()}",
        "size": f"miniature of {size}" if miniature else size,
        "batch": batch,
        "steps": settings.steps,
        "guidance": settings.guidance_scale,
        "dtype": settings.dtype,
        "tflop_per_image": work / batch / 1e12,
        "matmul_tflops": rate / 1e12,
        "contestants": {
            name: {
                "images_per_s": batch / median,
                "evaluations_per_s": batch * evaluations / median,
                "share_of_matmul": work / median / rate,
                "first_call_s": first[name],
            }
            for name, median in each.items()
        },
        "beside_torch": min(others) / each[OWN] if others else None,
        "not_run": not_run,
        "peak_memory": peak_memory(device),
    }


def seconds(run: Callable[[], object]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def make(
    size: str, settings: SamplerSettings, folder: Path, write: bool, miniature: bool = False
) -> tuple[Path, Generator]:
    """The generator, and the folder where PyTorch finds the same weights."""
    if size == "embedded":
        kwargs = {"steps": settings.steps, "guidance_scale": settings.guidance_scale, "dtype": settings.dtype}
        return SHAPES_GENERATOR, load_generator(SHAPES_GENERATOR, **kwargs)[0]
    configs, scheduler = ARCHITECTURES[size]
    networks = miniature_networks(size) if miniature else build_networks(configs, jnp.dtype(settings.dtype))
    params = jax.jit(lambda key: init_params(networks, key))(jax.random.key(0))
    if write:
        save_checkpoint(folder, networks, params, scheduler)
    params = jax.tree.map(lambda x: x.astype(settings.dtype), params)
    unconditional = jnp.full(networks.max_length, 49407, jnp.int32).at[0].set(49406)
    return folder, make_generator(networks, params, scheduler, unconditional, settings)


def torch_samplers(folder: Path, settings: SamplerSettings, ids: np.ndarray, latent: tuple[int, int, int]) -> dict:
    """The same work in PyTorch diffusers, by name."""
    import torch
    from diffusers import AutoencoderKL, DPMSolverMultistepScheduler, UNet2DConditionModel
    from transformers import CLIPTextModel

    device = "cuda" if torch.cuda.is_available() else "cpu"
    dtype = getattr(torch, settings.dtype)
    text, unet, vae = (
        model.from_pretrained(folder / part, torch_dtype=dtype).to(device).eval()
        for part, model in {"text_encoder": CLIPTextModel, "unet": UNet2DConditionModel, "vae": AutoencoderKL}.items()
    )
    config = read_json(folder / "scheduler" / "scheduler_config.json")
    tokens = torch.tensor(ids, device=device)
    guided, scale = settings.guidance_scale != 1, settings.guidance_scale

    @torch.inference_mode()
    def run(unet, decode):
        scheduler = DPMSolverMultistepScheduler.from_config(config, timestep_spacing="trailing")
        scheduler.set_timesteps(settings.steps, device=device)
        context = text(tokens).last_hidden_state
        if guided:
            context = torch.cat([context, text(tokens[:1]).last_hidden_state.expand_as(context)])
        x = torch.randn(len(ids), latent[2], *latent[:2], device=device, dtype=dtype)
        for t in scheduler.timesteps:
            out = unet(torch.cat([x, x]) if guided else x, t, encoder_hidden_states=context, return_dict=False)[0]
            if guided:
                conditional, without = out.chunk(2)
                out = without + scale * (conditional - without)
            x = scheduler.step(out, t, x, return_dict=False)[0]
        images = decode(x / vae.config.scaling_factor, return_dict=False)[0]
        return images.clamp(-1, 1).float().cpu()

    fast, decode = torch.compile(unet), torch.compile(vae.decode)
    return {
        "PyTorch diffusers": lambda: run(unet, vae.decode),
        "PyTorch diffusers, torch.compile": lambda: run(fast, decode),
    }


def matmul_rate(dtype: jnp.dtype) -> float:
    """FLOP/s of the best of some large matrix products."""
    size = 8192 if jax.default_backend() != "cpu" else 2048
    a = jax.random.normal(jax.random.key(0), (size, size)).astype(dtype)
    product = jax.jit(jnp.matmul)
    jax.block_until_ready(product(a, a))
    return 2 * size**3 / min(seconds(lambda: jax.block_until_ready(product(a, a))) for _ in range(10))


def peak_memory(device: jax.Device) -> str:
    stats = device.memory_stats() or {}
    if "peak_bytes_in_use" in stats:
        return f"{stats['peak_bytes_in_use'] / GIB:.1f} GiB on the device (JAX alone)"
    return (
        f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.1f} GiB of the process, all contestants together"
    )


if __name__ == "__main__":
    main()
