"""The command line: mistakes end in one sentence, exit code 1 and no traceback, before any image is made."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def explain(*arguments):
    command = [sys.executable, "launch/explain.py", "--config=configs/shapes.py:tiny", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


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
