"""The command line: mistakes end in one sentence, exit code 1 and no traceback, before any image is made."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def launch(program, *arguments):
    command = [sys.executable, f"launch/{program}.py", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def explain(*arguments):
    return launch("explain", "--config=configs/shapes.py:tiny", *arguments)


MISTAKES = {
    "--config.data.num_exampels=3": "no field 'num_exampels'; did you mean 'num_examples'?",
    "--config.concepts=('red circel',)": "did you mean 'red circle'",
    "--config.data.weights=(-99., 0., 0., 0., 0., 0.)": "labels are 0",
    "--config.generator.path=/nowhere": "the checkpoint has no text_encoder/config.json",
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_sentence(tmp_path, mistake):
    more = ["--config.data.bias=-99."] if "weights" in mistake else []
    done = explain(f"--workdir={tmp_path / 'run'}", mistake, *more)
    assert done.returncode == 1
    assert MISTAKES[mistake] in done.stderr
    assert "Traceback" not in done.stderr and "images/s" not in done.stderr
    assert len([line for line in done.stderr.splitlines() if line.startswith("error")]) == 1


def test_a_study_from_plan_to_report(tmp_path):
    """What it would cost, two workers on one folder, how far it is, and its results again from the folder alone."""
    folder = tmp_path / "run"
    study = [
        "--config=configs/shapes.py:tiny", f"--workdir={folder}", "--config.concepts=('red circle',)",
        "--config.data.num_examples=12", "--config.sampler.steps=1", "--config.sampler.guidance_scale=1",
        "--config.unit_size=8", "--config.sampled_examples=1",
    ]  # fmt: skip
    plan = launch("explain", *study, "--config.plan_only=True", "--config.batch_size=0")
    images = int(re.search(r"Images: (\d+), of which", plan.stdout)[1])
    assert "GFLOP an image" in plan.stdout and "images/s" not in plan.stderr  # nothing was tried out
    assert not folder.exists()
    workers = launch("local_workers", "--workers=2", "--", *study, "--config.batch_size=8")
    assert workers.returncode == 0, workers.stdout
    assert "[0] " in workers.stdout and "[1] " in workers.stdout
    told = launch("status", f"--workdir={folder}")
    assert f"draw 0: {images} of {images} images" in told.stdout and "all images are there" in told.stdout
    first = (folder / "importance.csv").read_text()
    (folder / "importance.csv").unlink()
    again = launch("report", f"--workdir={folder}")
    assert "red circle" in again.stdout and f"{images} of {images} images are done" in again.stdout
    assert (folder / "importance.csv").read_text() == first
