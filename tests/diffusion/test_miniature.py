"""Miniatures with random weights: what is refused before anything is written (tests/golden.py computes with them)."""

import pytest

from cpi_jax.diffusion.checkpoint import load_checkpoint
from cpi_jax.diffusion.miniature import write_miniature
from cpi_jax.errors import InputError
from tests.launching import launch


@pytest.mark.slow
def test_a_miniature_is_written_by_its_launch_and_never_over_something(tmp_path):
    folder = tmp_path / "miniature"
    with pytest.raises(InputError, match="'sd3'"):
        write_miniature("sd3", folder)
    assert not folder.exists()
    done = launch("make_miniature", "--architecture=sd21", f"--workdir={folder}")
    assert done.code == 0 and f"--config.generator.path={folder}" in done.out
    checkpoint = load_checkpoint(folder)
    assert checkpoint.networks.image_size == (64, 64) and checkpoint.tokenizer.pad_token_id == 0  # "!", as in SD 2
    again = launch("make_miniature", f"--workdir={folder}")
    assert again.code == 1 and "is not empty, and weights there would be written over" in again.err
