"""The step compiles for a TPU topology without a TPU; skipped where libtpu (the extra `tpu`) is not installed."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from cpi_jax.diffusion.architectures import ARCHITECTURES
from cpi_jax.generation.topology import Compiled, abstract_generator

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(importlib.util.find_spec("libtpu") is None, reason="needs the extra tpu")
def test_the_embedded_step_compiles_for_a_tpu_slice():
    command = [sys.executable, "launch/compile_for.py", "--config=configs/shapes.py", "--topology=v5e:2x2"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "4 chips" in done.stdout and "collectives: none" in done.stdout
    work = float(re.search(r"work: ([\d.e+-]+) TFLOP", done.stdout)[1])
    assert 0.001 < work < 0.01  # eight guided steps of 4.2 million parameters at 8 x 8


def test_what_follows_from_a_compiled_step():
    found = Compiled(4, 8, 4e9, 6e9, 35e12, (), 16e9, 200e12)
    assert found.largest_batch == 16  # 12 GB at .75 GB an image
    assert found.seconds(1000, 0.5) == pytest.approx(1000 * 35e12 / (4 * 200e12 * 0.5))


@pytest.mark.parametrize(
    "name", [name if name == "sd15" else pytest.param(name, marks=pytest.mark.slow) for name in ARCHITECTURES]
)
def test_the_published_architectures_have_their_published_sizes(name):
    generator = abstract_generator(name, steps=20, guidance_scale=7.5, dtype="bfloat16")
    sizes = {part: sum(x.size for x in jax.tree.leaves(params)) for part, params in generator.params.networks.items()}
    # Parameters of UNet, text models (SD 2: OpenCLIP-H without its last layer) and autoencoder, as counted in PyTorch.
    assert (
        sizes
        == {
            "sd15": {"unet": 859_520_964, "text_encoder": 123_060_480, "vae": 83_653_863},
            "sd21": {"unet": 865_910_724, "text_encoder": 340_387_840, "vae": 83_653_863},
            "sdxl": {
                "unet": 2_567_463_684,
                "text_encoder": 123_060_480,
                "text_encoder_2": 694_659_840,
                "vae": 83_653_863,
            },
        }[name]
    )
    assert {x.dtype for x in jax.tree.leaves(generator.params.networks)} == {jnp.dtype("bfloat16")}
