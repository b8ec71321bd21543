"""The benchmark for a GPU, tried on CPUs: networks made small, and a study of the painter's in the place of the demo."""

import json
import subprocess
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import on_gpu
from cpi_jax.diffusion.generator import Generator

SCORES = {"target": np.array([[0.0, 1, 2, 3]]), "detector": np.array([[1.0, 0, 1, 0]])}


def product(params, token_ids, keys):
    """Images [B, 4, 4, 3] of a product that takes 2 * 8 * 48 operations an image."""
    return (token_ids.astype(jnp.float32) @ params.matrix).reshape(-1, 4, 4, 3)


class Params(NamedTuple):
    unconditional: jax.Array
    matrix: jax.Array


def make(size, settings, folder, write, miniature):
    assert miniature and not write
    return folder, Generator(Params(jnp.zeros(8, jnp.int32), jnp.ones((8, 48))), product)


def test_one_json_and_a_paragraph(tmp_path, capsys):
    started = []

    def start(program, arguments, environment):
        started.append((program, environment))
        folder = Path(next(text for text in arguments if text.startswith("--workdir=")).removeprefix("--workdir="))
        folder.mkdir()
        importance = {"names": ["a", "red circle", "b"], "value": [[0.1, 0.3, 0.2], [0, 0, 0]]}
        (folder / "importance.json").write_text(json.dumps({"importance": importance}))
        (folder / "provenance.json").write_text('{"images_generated": 168}')

    def run(command, **_):
        part = next(argument for argument in command if argument.startswith("--part="))
        if part == "--part=sdxl":  # as one that is out of memory
            raise subprocess.CalledProcessError(1, command)
        on_gpu.main([part, f"--folder={tmp_path}", "--miniature"])

    studies = mock.patch.multiple(on_gpu, start=start, scores_of=lambda folder: SCORES)
    processes = mock.patch.object(on_gpu.subprocess, "run", run)
    models = mock.patch("benchmarks.sd_throughput.make", make)
    with studies, processes, models, pytest.raises(SystemExit, match="1"):  # since a part is missing
        on_gpu.main([f"--folder={tmp_path}", "--miniature"])
    found = json.loads((tmp_path / "on_gpu.json").read_text())
    assert [program for program, _ in started] == [*["explain.py"] * 3, "local_workers.py"]
    assert started[0][1] == {"JAX_PLATFORMS": "cpu"} and started[1][1] == {}
    assert found["left_out"] == {"sdxl": "it ended with code 1: see what it said above"}
    studies = found["parts"]["study"]
    assert studies["bfloat16"]["ranking"] == ["red circle", "b"] and studies["cpu"]["images"] == 168
    assert studies["bfloat16"]["beside cpu"]["detector"] == {"largest": 0, "pearson": pytest.approx(1)}
    assert "beside float32" in studies["two processes"] and "beside cpu" not in studies["cpu"]
    assert found["parts"]["attention"]["XL"]["chosen"] == "xla"
    speeds = found["parts"]["sd15"]
    assert speeds["size"] == "miniature of sd15" and speeds["tflop_per_image"] == pytest.approx(2 * 8 * 48 / 1e12)
    share = speeds["contestants"]["cpi_jax"]["images_per_s"] * speeds["tflop_per_image"] / speeds["matmul_tflops"]
    assert share == pytest.approx(speeds["contestants"]["cpi_jax"]["share_of_matmul"])
    text = (tmp_path / "on_gpu.md").read_text()
    assert text in capsys.readouterr().out and "Not measured: sdxl" in text and "of the measured matmul rate" in text


def test_what_does_not_end_in_time_is_left_out(tmp_path):
    timeout = subprocess.TimeoutExpired("", 1)
    with mock.patch.object(on_gpu.subprocess, "run", side_effect=timeout):
        assert on_gpu.run_part("study", tmp_path, True, 1.0) == (None, "no time was left")


def test_scores_are_held_against_each_other():
    expected, found = SCORES, {"target": SCORES["target"] + [[0, 0.5, 0, -0.25]], "detector": 1 - SCORES["detector"]}
    assert on_gpu.differences(expected, found)["target"]["largest"] == 0.5
    assert on_gpu.differences(expected, found)["detector"] == {"largest": 1, "pearson": pytest.approx(-1)}
    for wrong in (np.array([[0.0, np.nan, 2, 3]]), np.zeros((1, 3))):
        with pytest.raises(ValueError, match="the scores of the target are not whole"):
            on_gpu.differences(expected, {**expected, "target": wrong})
