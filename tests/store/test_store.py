"""What a study keeps, on a disk and in a bucket."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import cpi_jax
from cpi_jax.cli.planted import append_oracle
from cpi_jax.errors import InputError
from cpi_jax.opening import open_study
from cpi_jax.store.status import status
from cpi_jax.store.store import Store
from cpi_jax.store.workers import Worker, hold_share
from tests.gcs_emulator import serve
from tests.painter import FAST, SMALL, WEIGHTS, flat_settings, painter, reader, scenes, study
from tests.store.disks import small_disk

UNIT = 32
IDENTITY = {"seed": 0, "unit_size": UNIT, "generator weights or settings": "g"}
SCORERS = {"target": "t", "detector": "d"}


def parts_of(store, codes):
    return store.place(np.asarray(codes, np.uint64), lambda new: pa.table({"caption": [f"{i}" for i in new]}))


def opened(location, num_rows, num_draws=1, scorers=("target",)):
    """A study of so many rows, whose scorers have one output."""
    store = Store(location)
    store.claim(IDENTITY, {name: SCORERS[name] for name in scorers})
    parts_of(store, range(num_rows))
    store.open_tables(dict.fromkeys(scorers, 1), num_draws, UNIT)
    return store


@pytest.fixture(params=["disk", "bucket"])
def location(request, tmp_path, monkeypatch):
    if request.param == "disk":
        yield tmp_path / "study"
        return
    with serve() as (address, _):
        monkeypatch.setenv("TENSORSTORE_GCS_HTTP_URL", address)
        monkeypatch.setenv("GOOGLE_AUTH_TOKEN_FOR_TESTING", "nobody")
        yield f"gs://studies-{address.rsplit(':')[-1]}/one"


def test_files_parts_and_tables(location):
    store, other = Store(location), Store(location)
    assert store.read("a") is None
    store.write("a", "1")
    assert other.read("a") == b"1" and other.write_first("a", "2") == b"1" and other.write_first("b", "3") == b"3"
    np.testing.assert_array_equal(parts_of(store, [5, 2, 9]), [0, 1, 2])
    np.testing.assert_array_equal(parts_of(other, [9, 7, 5]), [2, 3, 0])  # 7 is new
    np.testing.assert_array_equal(parts_of(store, [7, 2]), [3, 1])
    assert store.variants()["caption"].to_pylist() == ["0", "1", "2", "1"]
    assert store.names("variants.parquet/") == [f"variants.parquet/part-0000{i}.parquet" for i in range(2)]

    for one in (store, other):
        one.claim(IDENTITY, SCORERS)
    parts_of(store, range(40))
    store.open_tables({"target": 1, "detector": 2}, 1, UNIT)
    scores = {"target": np.arange(UNIT, dtype=np.float32)[:, None], "detector": np.ones((UNIT, 2), np.float32)}
    store.write_unit(0, 0, scores)()
    parts_of(other, range(100, 130))
    other.open_tables({"target": 1, "detector": 2}, 2, UNIT)  # grows in both directions
    found = other.read_scores(2)
    assert found["target"].shape == (2, 70, 1)
    np.testing.assert_array_equal(found["target"][0, :UNIT], scores["target"])
    assert np.isnan(found["target"][0, UNIT:]).all() and np.isnan(found["detector"][1]).all()
    assert other.units_done() == {0: {0}}


@pytest.mark.parametrize("content", [b"{", b"3", b"", b"\xff", None])
def test_files_that_are_damaged_or_lost_are_written_again_where_the_records_prove_them(tmp_path, content):
    store = opened(tmp_path, 40)
    store.write_unit(0, 0, {"target": np.ones((UNIT, 1), np.float32)})()
    names = (
        "study.json", "scorers/target", "scores.zarr/target/zarr.json", "rows/00000",
        "variants.parquet/part-00000.parquet",
    )  # fmt: skip
    whole = {name: store.read(name) for name in names}
    for name in names:
        store.write(name, content) if content is not None else store.remove([name])
        again = opened(tmp_path, 40)
        assert (again.read_draw(0)["target"][:UNIT] == 1).all()
        assert again.read(name) is not None and (name.endswith("zarr.json") or again.read(name) == whole[name])


def test_lost_identity_never_gives_scores_to_another_study(tmp_path):
    store = opened(tmp_path, 40)
    store.write_unit(0, 0, {"target": np.ones((UNIT, 1), np.float32)})()
    whole = {name: store.read(name) for name in ("study.json", "scorers/target")}
    for content in (None, b"{"):
        store.write("study.json", content) if content else store.remove(["study.json"])
        with pytest.raises(
            InputError, match=r"study.json in .* is (lost|damaged), and the folder holds scores of another"
        ):
            Store(tmp_path).claim(IDENTITY | {"seed": 1}, SCORERS)
        store.write("study.json", whole["study.json"])
        store.write("scorers/target", content) if content else store.remove(["scorers/target"])
        with pytest.raises(
            InputError, match=r"scorers/target in .* is (lost|damaged), .* holds scores of another target"
        ):
            Store(tmp_path).claim(IDENTITY, {"target": "another"})
        store.write("scorers/target", whole["scorers/target"])
    store.remove(["study.json", *store.names("commits/")])
    with pytest.raises(InputError, match=r"study.json in .* is lost, and the folder holds scores that nothing names"):
        Store(tmp_path).claim(IDENTITY, SCORERS)


def test_scores_are_of_the_rows_that_the_records_name(tmp_path):
    """Rows and their captions are lost, and another plan appends its own: no score becomes another caption's."""
    store = opened(tmp_path, 40, scorers=("target", "detector"))
    for start, stop in ((0, 32), (32, 40)):
        values = np.arange(start, stop, dtype=np.float32)[:, None]
        store.write_unit(0, start, {"target": values, "detector": -values})()
    for name in (*store.names("rows/"), *store.names("variants.parquet/")):
        store.remove([name])
    other = Store(tmp_path)
    other.claim(IDENTITY, SCORERS)
    parts_of(other, [*range(31), 99, *range(32, 40)])
    other.open_tables({"target": 1, "detector": 1}, 1, UNIT)
    found = other.read_draw(0)
    assert np.isnan(found["target"][:32]).all() and (found["target"][32:, 0] == np.arange(32, 40)).all()
    for one, two in (("target/c/0/1/0", "detector/c/0/1/0"), ("target/c/0/0/0", "target/c/0/1/0")):
        store.write(f"scores.zarr/{one}", other.read(f"scores.zarr/{two}"))
        assert np.isnan(other.read_draw(0)["target"]).all()
    other.write("commits/0/0", other.read("commits/0/1"))
    assert np.isnan(other.read_draw(0)["target"]).all()


def test_parts_may_have_further_columns(tmp_path):
    """Room for what later rows need, such as the hash of a real picture or the number of an attempt."""
    store = opened(tmp_path, 2)
    store.place(np.array([7], np.uint64), lambda new: pa.table({"caption": ["c"], "attempt": [1]}))
    assert store.variants()["attempt"].to_pylist() == [None, None, 1]


def test_a_table_only_grows(location):
    """One worker asks for more draws while another one, who knows the old shape, asks for more variants."""
    first, second = opened(location, 40, 2), opened(location, 40, 2)
    parts_of(first, range(200))
    first.open_tables({"target": 1}, 2, UNIT)
    first.write_unit(0, 128, {"target": np.ones((UNIT, 1), np.float32)})()
    parts_of(second, range(90))
    second.open_tables({"target": 1}, 3, UNIT)
    assert second.read_draw(2)["target"].shape == (200, 1)
    assert (second.read_draw(0)["target"][128 : 128 + UNIT] == 1).all()


def test_whoever_is_first_writes_a_part(location):
    """Two workers plan different extensions at once: both are in the table, and both know where."""
    first, second = Store(location), Store(location)
    parts_of(first, [1, 2])

    def slow(new):
        np.testing.assert_array_equal(parts_of(second, [1, 2, 8, 9]), [0, 1, 2, 3])  # while the first describes its own
        return pa.table({"caption": ["mine"] * len(new)})

    calls = []
    rows = first.place(np.array([2, 7, 8], np.uint64), lambda new: calls.append(new) or (slow(new) if len(calls) == 1 else
                       pa.table({"caption": ["again"] * len(new)})))  # fmt: skip
    np.testing.assert_array_equal(rows, [1, 4, 2])
    assert second.variants()["caption"].to_pylist()[-1] == "again"


def test_a_part_that_is_being_written_is_not_a_damaged_one(tmp_path, monkeypatch, caplog):
    first, second = Store(tmp_path), Store(tmp_path)
    other, write = threading.Thread(target=parts_of, args=(second, [1, 2])), first.write

    def slowly(name, content):
        if name.endswith(".parquet"):
            other.start()
            other.join(0.3)  # it waits: the codes are there, and their captions are not
        write(name, content)

    monkeypatch.setattr(first, "write", slowly)
    parts_of(first, [1, 2])
    other.join()
    assert second.variants()["caption"].to_pylist() == ["0", "1"] and not caplog.messages


def test_a_claim_names_what_differs(location):
    store = opened(location, 40)
    with pytest.raises(InputError, match="seed is 0 there and 1 here"):
        if store.remote:  # where nobody can know that nobody else works
            Store(location).claim(IDENTITY | {"seed": 1}, {"target": "t"})
        else:
            with hold_share(store, Worker()):
                Store(location).claim(IDENTITY | {"seed": 1}, {"target": "t"})
    if not store.remote:  # nothing is scored yet
        Store(location).claim(IDENTITY | {"seed": 1}, {"target": "t"})
        assert store.names("rows/") == []
        store = opened(location, 40)
    store.write_unit(0, 0, {"target": np.zeros((UNIT, 1), np.float32)})()
    Store(location).claim(IDENTITY, {"target": "t"})
    Store(location).claim(IDENTITY, {"target": "t", "detector": "d"})  # a table can be added
    with pytest.raises(InputError, match="seed is 0 there and 3 here"):
        Store(location).claim(IDENTITY | {"seed": 3}, {"target": "t"})
    with pytest.raises(InputError, match="seed is 0 there and 2 here; unit_size is 32 there and 64 here"):
        Store(location).claim(IDENTITY | {"seed": 2, "unit_size": 64}, {"target": "t"})
    with pytest.raises(InputError, match='target weights or settings is "t" there and "u" here'):
        Store(location).claim(IDENTITY, {"target": "u"})


@pytest.mark.slow
def test_a_study_in_a_bucket_is_the_study_on_a_disk(tokenizer, tmp_path, monkeypatch):
    with serve() as (address, objects):
        monkeypatch.setenv("TENSORSTORE_GCS_HTTP_URL", address)
        monkeypatch.setenv("GOOGLE_AUTH_TOKEN_FOR_TESTING", "nobody")
        kwargs = {"examples": scenes(60), **SMALL}
        far = study(tokenizer, "gs://bucket/deep/one", pictures=True, **kwargs)
        near = study(tokenizer, tmp_path, **kwargs)
        np.testing.assert_array_equal(far.importance.per_draw, near.importance.per_draw)
        assert far.workdir is None
        for name in ("importance.csv", "ranking.png", "samples.png", "config.json", "provenance.json", "study.json"):
            assert len(objects[f"deep/one/{name}"][1]) > 0
        settings = flat_settings(**{name: value for name, value in (FAST | SMALL).items() if name != "detector"})
        parts = {"generator": painter(), "tokenizer": tokenizer, "scorers": {"target": reader(WEIGHTS)}}
        for location, found in (("gs://bucket/deep/one", far), (tmp_path, near)):
            opened = open_study(scenes(60), settings=settings, workdir=location, readonly=True, **parts)
            said = append_oracle(opened, found, (4.0, 0.0, -2.0, 0.0, 0.0, 0.0), -1.0)
            assert "oracle" in said.text and "oracle" in said.table
        assert objects["deep/one/importance.csv"][1] == (tmp_path / "importance.csv").read_bytes()
        assert objects["deep/one/ranking.png"][1] == (tmp_path / "ranking.png").read_bytes()
        generated = json.loads(objects["deep/one/provenance.json"][1])["images_generated"]
        again = study(tokenizer, "gs://bucket/deep/one", **kwargs)
        assert json.loads(objects["deep/one/provenance.json"][1])["images_generated"] == generated == 60 * 7
        np.testing.assert_array_equal(again.importance.per_draw, near.importance.per_draw)
        two = {"target": reader(WEIGHTS), "other": reader(-WEIGHTS)}
        parts = {"generator": painter(), "tokenizer": tokenizer, "settings": settings}
        compared = cpi_jax.explain(scenes(40), targets=two, workdir="gs://bucket/deep/one", **parts)
        assert compared.workdir is None is compared.explanations["other"].workdir
        for name in (
            "target_differences.csv",
            "other/importance.csv",
            "other/images/samples.csv",
            "target/samples.png",
        ):
            assert len(objects[f"deep/one/results/{name}"][1]) > 0


def test_what_is_written_again_is_put_into_the_bucket_again(monkeypatch):
    with serve() as (address, objects):
        monkeypatch.setenv("TENSORSTORE_GCS_HTTP_URL", address)
        monkeypatch.setenv("GOOGLE_AUTH_TOKEN_FOR_TESTING", "nobody")
        store = Store("gs://bucket/again")
        for said in ("before", "after"):
            store.write("images/kept.png", b"0")
            with store.results() as folder:
                (folder / "images" / "samples.csv").write_text(said)
                kept = folder / "images" / "kept.png"
                assert kept.read_bytes() == b"0"
        assert objects["again/images/samples.csv"][1] == b"after"


def test_a_folder_that_cannot_be_written_is_named():
    with pytest.raises(InputError, match="cannot write to the folder /proc/nowhere"):
        Store("/proc/nowhere")


FULL = """
import sys
import numpy as np
from cpi_jax.errors import InputError
from tests.store.test_store import UNIT, opened

store = opened(sys.argv[1], 100 * UNIT)
try:
    for start in range(0, 100 * UNIT, UNIT):
        store.write_unit(0, start, {"target": np.ones((UNIT, 1), np.float32)})()
except InputError as error:
    print("refused:", error)
"""


def test_a_full_disk_is_one_sentence_and_corrupts_nothing(tmp_path):
    with small_disk(tmp_path / "disk", 256) as (disk, remount):
        environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
        done = subprocess.run(
            [sys.executable, "-c", FULL, str(disk / "study")],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert "refused: no space is left on the disk" in done.stdout, done.stdout + done.stderr
        remount("ro,size=8m")
        with pytest.raises(InputError, match=r"cannot write to .*: Read-only file system"):
            Store(disk / "study")
        assert "draw 0: " in status(disk / "study")
        remount("rw")
        store = opened(disk / "study", 100 * UNIT)
        found = store.read_draw(0)["target"]
        written = len(store.units_done()[0])
        assert 1 <= written < 100 and (found[~np.isnan(found)] == 1).all()
        assert np.isfinite(found).sum() == written * UNIT
        store.write_unit(0, 99 * UNIT, {"target": np.ones((UNIT, 1), np.float32)})()
        del store  # and its lock's file
