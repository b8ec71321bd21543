import re
import sys
from pathlib import Path

import jax
import numpy as np

PAGE = Path(__file__).parents[2] / "docs" / "classifiers.md"


def test_the_pages_python_runs_as_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    images = np.random.default_rng(0).random((2, 64, 64, 3), np.float32)
    names, outputs = {}, []
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL):
        assert block.count("\n") <= 17
        exec(compile(block, str(PAGE), "exec"), names)
        scorer = names["scorer"]
        apply = jax.jit(scorer.apply) if hasattr(scorer, "apply") else lambda _, x, f=scorer: f(x)
        outputs.append(np.asarray(apply(getattr(scorer, "params", None), images)))
    assert [x.shape for x in outputs] == [(2, 1)] * 3 and np.isfinite(outputs).all()
    np.testing.assert_allclose(outputs[0][:, 0], (images[..., 0] - images[..., 1]).mean((1, 2)), atol=1e-5)
