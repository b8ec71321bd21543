import re
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"


def test_the_readmes_python_runs_as_written(capsys):
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert len(blocks) == 4
    names = {}
    for block in blocks:
        exec(compile(block, "README.md", "exec"), names)
    table = names["found"].table.query("metric == 'auroc'").set_index("concept")
    # Redness cannot miss a red circle: permuting it takes AUROC from about 1 to one half.
    assert table.importance["red circle"] > 0.3 > abs(table.importance["blue rectangle"])
    assert "red circle" in capsys.readouterr().out
    assert names["ids"].shape == (25, 32, 32)
    estimate = names["result"].estimate
    assert float(estimate[0, 0]) > 0.2 and (estimate[0] > estimate[2]).all()
    beside = names["beside"].query("method == 'occlusion' and how == 'signed'").set_index("concept").importance
    assert beside["red circle"] > 0 > beside["blue circle"]  # the planted signs
