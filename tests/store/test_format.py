"""The format as later versions and other launches meet it: tables added, older folders converted, all of it verified."""

import dataclasses
import errno
import fcntl
import json

import jax.numpy as jnp
import numpy as np
import pytest
import xarray

from cpi_jax.classifiers.scorer import Scorer
from cpi_jax.errors import InputError
from cpi_jax.generation.recheck import recheck_finished
from cpi_jax.opening import open_study
from cpi_jax.store.status import status
from cpi_jax.store.store import Store
from cpi_jax.store.verify import verify
from cpi_jax.store.workers import Worker, hold_share
from tests.launching import launch
from tests.painter import WEIGHTS, flat_settings, painter, read_patches, reader, scenes

UNIT = 16


def make(tokenizer, folder, weights=WEIGHTS, num_examples=6, **others):
    """A study whose folder is opened, and whose images are made."""
    study = open_study(
        scenes(num_examples),
        generator=painter(),
        tokenizer=tokenizer,
        scorers={"target": reader(weights), **others},
        settings=flat_settings(draws=1, unit_size=UNIT, batch_size=16, sampled_examples=0),
        workdir=folder,
    )
    study.generate()
    return study


def contents(folder, *names):
    return {path: path.read_bytes() for name in names for path in sorted((folder / name).rglob("*")) if path.is_file()}


def to_format_before(folder):
    """Takes from a folder what the format before did not have."""
    study = json.loads((folder / "study.json").read_text())["images"]
    for file in sorted((folder / "scorers").iterdir()):
        study[f"{file.name} weights or settings"] = json.loads(file.read_text())["scorer"]
    (folder / "study.json").write_text(json.dumps(study, indent=2))
    for name in ("rows", "commits", "scorers"):
        for path in contents(folder, name):
            path.unlink()


def test_a_further_table_leaves_the_others_as_they_are(tokenizer, tmp_path):
    target = make(tokenizer, tmp_path).scores.read(1)["target"]
    before = contents(tmp_path, "scores.zarr/target", "rows", "variants.parquet", "scorers")
    other = make(tokenizer, tmp_path, other=reader(-WEIGHTS))
    assert before.items() <= contents(tmp_path, "scores.zarr/target", "rows", "variants.parquet", "scorers").items()
    tables = other.scores.read(1)
    np.testing.assert_array_equal(tables["target"], target)
    np.testing.assert_allclose(tables["other"], -target, atol=1e-6)
    refused = (
        "holds another study: other weights or settings is .* Give the classifier another name, or choose another --"
    )
    with pytest.raises(InputError, match=refused):
        make(tokenizer, tmp_path, other=reader(2 * WEIGHTS))
    with hold_share(other.store, Worker(1, 2)), pytest.raises(InputError, match="worker 1/2 works in"):
        other.store.remove_table("other")
    other.store.remove_table("other")
    again = make(tokenizer, tmp_path, other=reader(2 * WEIGHTS)).scores.read(1)
    np.testing.assert_allclose(again["other"], 2 * target, atol=1e-6)
    np.testing.assert_array_equal(make(tokenizer, tmp_path).scores.read(1)["target"], target)
    assert before.items() <= contents(tmp_path, "scores.zarr/target", "rows", "variants.parquet", "scorers").items()
    opened = xarray.open_zarr(tmp_path / "scores.zarr", consolidated=False)
    np.testing.assert_array_equal(opened.target[:, 3], target[:, other.scores.in_order()[3]])


def test_a_folder_of_the_format_before_is_converted(tokenizer, tmp_path):
    target = make(tokenizer, tmp_path).scores.read(1)["target"]
    whole = contents(tmp_path, "commits", "rows", "scorers")
    to_format_before(tmp_path)
    for read in (status, lambda folder: open_again(tokenizer, folder, readonly=True)):
        with pytest.raises(InputError, match=r"was made by an earlier version .* --mend` converts it"):
            read(tmp_path)
    with pytest.raises(InputError, match="holds another study: target weights or settings is"):
        make(tokenizer, tmp_path, weights=-WEIGHTS)  # which converts it all the same
    assert contents(tmp_path, "commits", "rows", "scorers") == whole
    to_format_before(tmp_path)
    (tmp_path / "early_end").mkdir()
    (tmp_path / "early_end/0123.json").write_text('{"draws": 1}')  # of a rule that knew other scores
    chunk = tmp_path / "scores.zarr/target/c/0/1/0"
    chunk.write_bytes(chunk.read_bytes()[:-1])
    study = open_again(tokenizer, tmp_path)
    assert study.scores.count_done(1)[0] == len(target[0]) - UNIT and study.store.names("early_end/") == []
    assert np.nanmax(np.abs(study.scores.read(1)["target"] - target)) == 0
    assert make(tokenizer, tmp_path).scores.count_done(1)[0] == len(target[0])


def open_again(tokenizer, folder, **how):
    """The study of `make`, opened and left as it is."""
    return open_study(
        scenes(6),
        generator=painter(),
        tokenizer=tokenizer,
        scorers={"target": reader(WEIGHTS)},
        settings=flat_settings(draws=1, unit_size=UNIT, batch_size=16, sampled_examples=0),
        workdir=folder,
        **how,
    )


def test_verify_names_what_is_not_sound(tokenizer, tmp_path):
    make(tokenizer, tmp_path)
    report = verify(tmp_path)
    assert report.sound and "draw 0: 42 of 42 images are proven by commit records" in str(report)
    chunks = sorted((tmp_path / "scores.zarr/target/c/0").iterdir())
    one, two = (chunk / "0" for chunk in chunks[:2])
    swapped = one.read_bytes(), two.read_bytes()
    two.write_bytes(swapped[0]), one.write_bytes(swapped[1])
    (tmp_path / "variants.parquet/part-00000.parquet").unlink()
    (tmp_path / "workers/0-of-1.json").write_text("{")
    report = verify(tmp_path)
    assert report.damage == (
        "variants.parquet/part-00000.parquet is lost or damaged",
        "2 units of the target's draw 0: 0, 1",
    )
    assert report.notes == ("workers/0-of-1.json",)
    done = launch("verify", f"--workdir={tmp_path}")
    assert done.code == 1 and "not sound: 2 units of the target's draw 0: 0, 1" in done.out
    assert done.err == f"error: {tmp_path} is not sound: run this command with --mend\n"
    make(tokenizer, tmp_path)
    assert verify(tmp_path).sound and launch("verify", f"--workdir={tmp_path}").code == 0
    (tmp_path / "early_stopping").mkdir()
    for name in (".study.json.0123abcd", "scorers/.target.0123abcd", "early_stopping/.0123.json.0123abcd"):
        (tmp_path / name).write_text("{")  # as a process leaves it that was killed before it could claim a name
    assert verify(tmp_path) == dataclasses.replace(verify(tmp_path), damage=(), notes=())
    with pytest.raises(InputError, match="holds no study"):
        verify(tmp_path / "workers")


def test_a_file_system_without_locks_is_said_once(tokenizer, tmp_path, monkeypatch, caplog):
    def no_locks(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    make(tokenizer, tmp_path)
    store = open_again(tokenizer, tmp_path).store
    assert store.spec("")["context"] == {"file_io_locking": {"mode": "none"}}
    said = [message for message in caplog.messages if "has no locks" in message]
    assert said == [
        f"the file system of {tmp_path} has no locks (No locks available): what is started twice is done twice, with the "
        "same scores"
    ]


def test_a_format_that_is_not_known_yet_is_refused(tmp_path):
    Store(tmp_path).write_sealed("study.json", {"format": 3, "images": {"seed": 0}})
    with pytest.raises(InputError, match="is of format 3, and this version of cpi_jax reads 2"):
        Store(tmp_path).claim({"seed": 0}, {})


def test_what_no_number_depends_on_stops_nobody(tokenizer, tmp_path):
    """Files in the way of TensorBoard's folder, and notes that are damaged: the study is made all the same."""
    (tmp_path / "tensorboard").write_text("in the way")
    target = make(tokenizer, tmp_path).scores.read(1)["target"]
    (tmp_path / "scores.zarr/target/c/0/0/0").unlink()
    notes = ("workers/0-of-1.json", "sources.json", "early_stopping/current.json", "results.json", "provenance.json")
    for content in ("", "null", '{"images": "many"}', "[[["):
        for name in notes:
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text(content)
        study = open_again(tokenizer, tmp_path)
        recheck_finished(study.batch_scorer, study.scores, 1)
        assert "42" in status(tmp_path)
        study.generate()
        np.testing.assert_array_equal(study.scores.read(1)["target"], target)
        (tmp_path / "scores.zarr/target/c/0/0/0").unlink()


def test_lost_tables_records_and_rows_are_named(tokenizer, tmp_path):
    make(tokenizer, tmp_path, detector=reader(np.eye(6)))
    assert verify(tmp_path).sound
    for file, sentence in {
        "scorers/detector": "the table detector: its scorers/detector or",
        "scores.zarr/target/zarr.json": "the table target: its scorers/target or",
        "rows/00000": "rows/00000 is lost or damaged",
    }.items():
        content = (tmp_path / file).read_bytes()
        (tmp_path / file).unlink()
        assert any(sentence in damage for damage in verify(tmp_path).damage), file
        (tmp_path / file).write_bytes(content)
    record = next(path for path in sorted((tmp_path / "commits").rglob("*")) if path.is_file())
    record.write_text("{")
    assert any(f"commits/0/{record.name} is damaged" in damage for damage in verify(tmp_path).damage)
    record.unlink()
    report = verify(tmp_path)
    assert report.sound and any("without a commit record" in note for note in report.notes)


def test_scores_are_not_thrown_away_for_another_number_of_outputs(tokenizer, tmp_path):
    make(tokenizer, tmp_path)
    before = contents(tmp_path, "scores.zarr")
    store = Store.open_existing(tmp_path)
    again = Store(tmp_path)
    again.claim(json.loads((tmp_path / "study.json").read_text())["images"], store.scorers)
    with pytest.raises(InputError, match="the target gives 1 score an image there and 2 here"):
        again.open_tables({"target": 2}, 1, UNIT)
    assert contents(tmp_path, "scores.zarr") == before


def test_lost_records_leave_another_studys_scores_where_they_are(tokenizer, tmp_path):
    make(tokenizer, tmp_path)
    for path in contents(tmp_path, "commits"):
        path.unlink()
    before = contents(tmp_path, "scores.zarr")
    with pytest.raises(InputError, match="holds another study: seed is 0 there and 1 here"):
        open_study(
            scenes(6),
            generator=painter(),
            tokenizer=tokenizer,
            scorers={"target": reader(WEIGHTS)},
            settings=flat_settings(seed=1, draws=1, unit_size=UNIT, batch_size=16, sampled_examples=0),
            workdir=tmp_path,
        )
    assert contents(tmp_path, "scores.zarr") == before


def test_an_edited_target_is_noticed_where_no_row_has_the_scores_of_all(tokenizer, tmp_path):
    """As after a detector was begun to be added and the unit that it has was damaged for the target."""
    make(tokenizer, tmp_path, detector=reader(np.eye(6)))
    for path in contents(tmp_path, "commits"):
        record = json.loads(path.read_text())
        record["tables"].pop("target" if path.name == "0" else "detector")
        path.write_text(json.dumps(record))
    edited = Scorer(jnp.asarray(WEIGHTS, jnp.float32), lambda params, images: -read_patches(params, images))
    study = open_study(
        scenes(6),
        generator=painter(),
        tokenizer=tokenizer,
        scorers={"target": edited, "detector": reader(np.eye(6))},
        settings=flat_settings(draws=1, unit_size=UNIT, batch_size=16, sampled_examples=0),
        workdir=tmp_path,
    )
    with pytest.raises(InputError, match="the target scores example"):
        recheck_finished(study.batch_scorer, study.scores, 1)


@pytest.mark.parametrize("seen", [False, True])
def test_a_study_that_another_process_extended_goes_on(tokenizer, tmp_path, caplog, seen):
    """It knows 42 rows, ten of unit 2 and none of unit 5; another opening has scored all of 84."""
    whole = make(tokenizer, tmp_path / "whole", num_examples=12).scores.read(1)["target"]
    before = open_again(tokenizer, tmp_path)
    if seen:
        before.store.variants()  # reads the rows, too
    make(tokenizer, tmp_path, num_examples=12)
    records = contents(tmp_path, "commits")
    if seen:
        before.store.variants()
    before.generate()
    assert contents(tmp_path, "commits") == records
    np.testing.assert_array_equal(
        before.scores.read(1)["target"], open_again(tokenizer, tmp_path).scores.read(1)["target"]
    )
    (tmp_path / "commits/0/2").unlink()  # a unit that it knows the first ten rows of
    before.generate()
    assert json.loads((tmp_path / "commits/0/2").read_text())["tables"]["target"]["rows"] == 16
    again = make(tokenizer, tmp_path, num_examples=12)
    np.testing.assert_array_equal(again.scores.read(1)["target"], whole)
    assert verify(tmp_path).sound and "count as not done" not in caplog.text


def test_an_edited_target_of_a_later_draw_is_noticed(tokenizer, tmp_path):
    """As where two launches ran at once on a file system without locks."""
    parts = {"generator": painter(), "tokenizer": tokenizer, "workdir": tmp_path}
    settings = {"unit_size": UNIT, "batch_size": 16, "sampled_examples": 0}
    target = reader(WEIGHTS)
    edited = Scorer(target.params, lambda params, images: -read_patches(params, images))
    for draws, scorer in ((1, target), (2, edited)):
        of_draw = flat_settings(draws=draws, **settings)
        open_study(scenes(6), scorers={"target": scorer}, settings=of_draw, **parts).generate()
    study = open_study(scenes(6), scorers={"target": target}, settings=flat_settings(draws=3, **settings), **parts)
    with pytest.raises(InputError, match="the target scores example"):
        recheck_finished(study.batch_scorer, study.scores, 3)
