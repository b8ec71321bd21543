"""The step compiles for a TPU topology without a TPU; skipped where libtpu (the extra `tpu`) is not installed."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import jax
import pytest

from cpi_jax.diffusion.architectures import ARCHITECTURES
from cpi_jax.topology import Compiled, abstract_generator

ROOT = Path(__file__).parents[1]


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


def test_the_published_architecture_has_its_published_size():
    generator = abstract_generator("sd15", 20, 7.5)
    sizes = {part: sum(x.size for x in jax.tree.leaves(params)) for part, params in generator.params.networks.items()}
    # Parameters of Stable Diffusion 1.5's UNet, CLIP-L's text model and the autoencoder, as their model cards count them.
    assert sizes == {"unet": 859_520_964, "text_encoder": 123_060_480, "vae": 83_653_863}
    assert set(ARCHITECTURES) == {"sd15"}
