"""The command line: mistakes end in one sentence, exit code 1 and no traceback, before any image is made."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from cpi_jax.status import status

ROOT = Path(__file__).parents[1]


def launch(program, *arguments):
    command = [sys.executable, f"launch/{program}.py", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


MISTAKES = {
    "--config.data.num_exampels=3": "no field 'num_exampels'; did you mean 'num_examples'?",
    "--config.generator.path=/nowhere": "the checkpoint has no text_encoder/config.json",
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_sentence(tmp_path, mistake):
    done = launch("explain", "--config=configs/shapes.py:tiny", f"--workdir={tmp_path / 'run'}", mistake)
    assert done.returncode == 1
    assert MISTAKES[mistake] in done.stderr
    assert "Traceback" not in done.stderr and "images/s" not in done.stderr
    assert len([line for line in done.stderr.splitlines() if line.startswith("error")]) == 1


def test_a_study_of_two_workers_and_its_report(tmp_path):
    """Two workers on one folder, how far it is, and its results again from the folder alone."""
    folder = tmp_path / "run"
    study = [
        "--config=configs/shapes.py:tiny", f"--workdir={folder}", "--config.concepts=('red circle',)",
        "--config.data.num_examples=12", "--config.sampler.steps=1", "--config.sampler.guidance_scale=1",
        "--config.unit_size=8", "--config.sampled_examples=1", "--config.batch_size=8", "--config.detector.path=",
        "--config.statistics.metrics=('accuracy',)", "--config.statistics.num_bootstrap=2",
    ]  # fmt: skip
    workers = launch("local_workers", "--workers=2", "--", *study)
    assert workers.returncode == 0, workers.stdout
    assert "[0] " in workers.stdout and "[1] " in workers.stdout
    done = re.search(r"(\d+) of (\d+) images are done", workers.stdout)
    assert f"draw 0: {done[2]} of {done[2]} images" in status(folder)
    first = (folder / "importance.csv").read_text()
    (folder / "importance.csv").unlink()
    again = launch("report", f"--workdir={folder}")
    assert "red circle" in again.stdout and f"{done[2]} of {done[2]} images are done" in again.stdout
    assert (folder / "importance.csv").read_text() == first
