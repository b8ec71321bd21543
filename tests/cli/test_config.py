"""Fields that nothing would read are refused, in a config's file as on the command line."""

import re

import pytest

from configs import shapes
from cpi_jax.cli.config import base_config
from cpi_jax.cli.from_config import examples_from_config, study_from_config
from cpi_jax.cli.renamed import RENAMED, new_name
from cpi_jax.errors import InputError
from tests.launching import ROOT, launch

# What a config's file adds, and what is said of it.
ADDED = {
    "config.batch_size = 8": "the config's field batch_size is called compute.batch_size now",
    "config.weights = 'w'": "the config's field weights is called statistics.weights now",
    "config.classifier = {'path': 'x'}": "the config's field classifier is called target now",
    "config.drwas = 8": "a study has no field 'drwas'; did you mean 'draws'?",
    "config.statistics.levle = 0.9": "a study has no field 'statistics.levle'; did you mean 'level'?",
    "config.target.softmax = True": "a study has no field 'target.softmax'",
    "config.statistics = None": "statistics must hold fields, not None",
    "config.target = {'path': 'embedded'}": "target has no field 'classes': set single fields, as config.target",
}


@pytest.mark.parametrize("line", ADDED)
def test_a_file_that_adds_a_field_is_refused(line, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    lines = ["from configs import shapes", "def get_config():", "    config = shapes.get_config('tiny')", f"    {line}"]
    (tmp_path / "mine.py").write_text("\n".join((*lines, "    return config")))
    done = launch("explain", f"--config={tmp_path / 'mine.py'}", f"--workdir={tmp_path / 'run'}")
    assert done.code == 1 and done.err.startswith("error: --config: ") and ADDED[line] in done.err
    assert len(done.err.splitlines()) == 1 and not (tmp_path / "run").exists()


def test_python_callers_are_told_too(tmp_path):
    config = shapes.get_config("tiny")
    config.batch_size = 8
    with pytest.raises(InputError, match=r"batch_size is called compute\.batch_size now"):
        study_from_config(config, tmp_path / "run")
    config = shapes.get_config("tiny")
    config.data.wieghts = (1.0,) * 6
    message = "the source of data shapes has no field 'wieghts'; did you mean 'weights'?"
    with pytest.raises(InputError, match=re.escape(message)):
        examples_from_config(config)


def test_every_old_name_has_a_field_that_there_is():
    known = base_config().to_dict()
    for old in RENAMED:
        assert old not in known
        place = known
        for part in new_name(old).split("."):
            place = place[part]
    assert new_name("classifier.path") == "target.path" and new_name("target.path") is None
