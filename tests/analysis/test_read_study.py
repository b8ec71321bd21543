"""A study that was made before, read from its folder alone."""

import json
import shutil

import pandas as pd
import pytest

import cpi_jax
from cpi_jax.analysis.finished import remember
from cpi_jax.errors import InputError
from tests.painter import scenes, study


@pytest.fixture(scope="module")
def made(tokenizer, tmp_path_factory):
    folder = tmp_path_factory.mktemp("made") / "run"
    found = study(tokenizer, folder, examples=scenes(24), draws=1, metrics=("accuracy",), detector=False)
    return folder, found


def test_it_is_what_explain_returned(made):
    folder, found = made
    again = cpi_jax.read_study(str(folder))
    assert again.importance.to_json() == found.importance.to_json() and again.summary() == found.summary()
    pd.testing.assert_frame_equal(again.table, found.table, check_dtype=False)
    assert (again.workdir, again.unfinished, again.notes) == (folder, None, found.notes)


def rewrite(name, change):
    """Changes a results file as one who signs for it would."""

    def apply(folder):
        content = json.loads((folder / name).read_text())
        change(content)
        (folder / name).write_text(json.dumps(content))
        remember(folder, "x", ["importance.json", "importance.csv"])

    return apply


DAMAGES = {
    "importance.csv was changed in": lambda folder: (folder / "importance.csv").open("a").write("x"),
    "checks.csv was removed in": lambda folder: (folder / "checks.csv").unlink(),
    "results.json was damaged in": lambda folder: (folder / "results.json").write_text("{}"),
    "holds no results yet: `python launch/report.py": lambda folder: (folder / "importance.json").unlink(),
    "(KeyError: 'notes'): `python launch": rewrite("importance.json", lambda content: content.pop("notes")),
    "holds no study: there is no study.json in it": lambda folder: [path.unlink() for path in folder.glob("*.json")],
}


@pytest.mark.parametrize("message", DAMAGES)
def test_what_is_not_the_studys_own_is_refused(made, tmp_path, message):
    folder = tmp_path / "run"
    shutil.copytree(made[0], folder)
    DAMAGES[message](folder)
    with pytest.raises(InputError) as refused:
        cpi_jax.read_study(folder)
    assert message in str(refused.value) and str(folder) in str(refused.value)


def test_a_folder_that_is_not_here_is_refused(made):
    with pytest.raises(InputError, match=r"there is no folder .*/rum; did you mean run"):
        cpi_jax.read_study(made[0].parent / "rum")
    with pytest.raises(InputError, match="gs://bucket/run is in a bucket: copy the folder here first"):
        cpi_jax.read_study("gs://bucket/run")
