"""A folder that somebody else made: its scores are read, and no module that it names is imported unless that is allowed."""

import json
import sys
from unittest import mock

import numpy as np
import pandas as pd
import pytest

from cpi_jax.classifiers.loading import load_scorer
from cpi_jax.classifiers.recorded import RecordedScorer
from cpi_jax.data.tfds import read_tfds
from cpi_jax.errors import InputError
from cpi_jax.user_code import import_function, only_data
from tests.launching import ROOT, launch
from tests.painter import painter, photographs, scenes, without_pictures

# Whoever imports it is found out.
CODE = """
import pathlib
import numpy as np
from tests.painter import read_patches
pathlib.Path("imported").touch()

def sure(images):
    return 1 / (1 + np.exp(-20 * np.asarray(read_patches(np.eye(6, 1, dtype=np.float32), images))))

def detect(images):
    return np.asarray(read_patches(np.eye(6, dtype=np.float32), images))
"""
FIELDS = {
    "data.path": "read.elsewhere", "data.label": "label",
    "generator.path": "painted", "target.module": "somebodys:sure", "target.probabilities": True,
    "detector.module": "somebodys:detect", "draws": 1, "compute.unit_size": 128, "compute.batch_size": 64,
    "output.sampled_examples": 2, "statistics.num_bootstrap": 2, "statistics.metrics": "('neg_log_loss',)",
}  # fmt: skip


@pytest.fixture
def somebodys(tokenizer, tmp_path, monkeypatch):
    """Runs programs where somebody's module can be imported, and says whether it was."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "somebodys.py").write_text(CODE)
    examples = photographs(scenes(200))
    with (
        mock.patch("cpi_jax.cli.from_config.load_generator", lambda *args, **kwargs: (painter(), tokenizer)),
        mock.patch("cpi_jax.cli.from_config.examples_from_config", lambda config: examples),
        without_pictures(),
    ):

        def run(program, *arguments):
            sys.modules.pop("somebodys", None)
            (tmp_path / "imported").unlink(missing_ok=True)
            done = launch(program, "--workdir=study", *arguments)
            return done, (tmp_path / "imported").exists()

        yield run
    sys.modules.pop("somebodys", None)


def tables():
    return [pd.read_csv(f"study/{name}.csv") for name in ("importance", "checks")]


@pytest.mark.slow
def test_a_report_reads_scores_and_imports_nothing(somebodys, tmp_path):
    fields = [f"--config.{name}={value}" for name, value in FIELDS.items()]
    made, imported = somebodys("explain", f"--config={ROOT}/configs/table.py", *fields)
    assert made.code == 0 and imported, made.err
    first = tables()
    assert set(first[1].check) == {"effective generation", "independent permutation"}
    assert set(first[0].verdict) == {"pass"}

    # Also of a Flax module, whose checkpoint need not be there.
    config = json.loads((tmp_path / "study/config.json").read_text())
    config["detector"]["path"] = "gone"
    (tmp_path / "study/config.json").write_text(json.dumps(config))
    for program in ("status", "report"):
        done, imported = somebodys(program)
        assert done.code == 0 and not imported, done.err
    for before, after in zip(first, tables()):
        pd.testing.assert_frame_equal(after, before)

    # Scores that are damaged, or pickled, are not read; without them it is said what is not known.
    kept = {path: path.read_bytes() for path in (tmp_path / "study/real_scores").glob("*.npy")}
    target, detector = sorted(kept, reverse=True)
    np.save(target, np.array([None]), allow_pickle=True)
    detector.unlink()
    done, imported = somebodys("report")
    assert done.code == 0 and not imported, done.err
    assert "the target's scores of these real images are not in the study's folder" in done.out.replace("\n", " ")
    importance, checks = tables()
    validity = ["verdict", "rank_valid"]
    pd.testing.assert_frame_equal(importance.drop(columns=validity), first[0].drop(columns=validity))
    assert set(checks.check) == {"independent permutation"} and set(importance.verdict) == {"unchecked"}

    # With leave the code is run.
    config["detector"]["path"] = ""
    (tmp_path / "study/config.json").write_text(json.dumps(config))
    done, imported = somebodys("report", "--trust")
    assert done.code == 0 and imported, done.err
    for before, after in zip(first, tables()):
        pd.testing.assert_frame_equal(after, before)


def test_the_door_is_shut_while_only_data_is_read():
    with only_data():
        with pytest.raises(InputError, match=r"os:getcwd would run code .* say --trust"):
            import_function("os:getcwd")
        with pytest.raises(InputError, match="os:getcwd would run code"):
            load_scorer(module="os:getcwd")
        pytest.importorskip("tensorflow_datasets")
        with pytest.raises(InputError, match="the data set huggingface:mnist would run code"):
            read_tfds("huggingface:mnist", label="label")
    assert import_function("os:getcwd")()


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"probabilities": True},
        {"task": "multilabel", "probabilities": True},
        {"classes": (1,), "task": "multiclass", "probabilities": True},
        {"classes": (0, 2), "task": "multilabel", "probabilities": True},
        {"classes": (0, 2), "task": "multilabel"},
    ],
)
def test_recorded_scores_are_read_as_the_classifier_is(said):
    there = load_scorer(module="tests.painter:read_patches", **said)
    recorded = RecordedScorer("tests.painter:read_patches", "hash", 3, **said)
    assert (recorded.probabilities, recorded.task) == (there.probabilities, there.task)
    assert (recorded.name, recorded.try_out((8, 4, 4, 3))) == ("hash", 3)
    with pytest.raises(InputError, match=r"to score 2 images with tests.painter:read_patches would run code"):
        recorded(np.zeros((2, 4, 4, 3), np.float32))
