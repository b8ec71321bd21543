"""What a study keeps, on a disk and in a bucket."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from cpi_jax.errors import InputError
from cpi_jax.store.status import status
from cpi_jax.store.store import Store
from tests.gcs_emulator import serve
from tests.painter import scenes, study

UNIT = 32


def parts_of(store, codes):
    return store.place(np.asarray(codes, np.uint64), lambda new: pa.table({"caption": [f"{i}" for i in new]}))


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

    store.open_tables({"target": 1, "detector": 2}, 1, 40, UNIT)
    scores = {"target": np.arange(UNIT, dtype=np.float32)[:, None], "detector": np.ones((UNIT, 2), np.float32)}
    store.write_unit(0, 0, scores)()
    other.open_tables({"target": 1, "detector": 2}, 2, 70, UNIT)  # grows in both directions
    found = other.read_scores(2)
    assert found["target"].shape == (2, 70, 1)
    np.testing.assert_array_equal(found["target"][0, :UNIT], scores["target"])
    assert np.isnan(found["target"][0, UNIT:]).all() and np.isnan(found["detector"][1]).all()
    assert other.units_done() == {0: {0}}


@pytest.mark.parametrize("content", [b"{", b"3", b"", b"\xff"])
def test_damaged_files_of_a_study_are_named(tmp_path, content):
    store = Store(tmp_path)
    parts_of(store, [1])
    store.open_tables({"target": 1}, 1, UNIT, UNIT)
    names = ("study.json", "scores.zarr/target/zarr.json", "variants.parquet/part-00000.parquet")
    for name in names:
        store.write(name, content)
    uses = (
        lambda store: store.claim({}),
        lambda store: store.open_tables({"target": 1}, 1, UNIT, UNIT),
        lambda store: store.variants(),
    )
    for readonly in (False, True):
        for name, use in zip(names, uses):
            with pytest.raises(InputError, match=rf"^{name} in {tmp_path} is damaged \(.*\): restore it from a copy"):
                use(Store(tmp_path, readonly=readonly))
    with pytest.raises(InputError, match=r"zarr.json in .* is damaged"):
        status(tmp_path)


def test_a_table_only_grows(location):
    """One worker asks for more draws while another one, who knows the old shape, asks for more variants."""
    first, second = Store(location), Store(location)
    first.open_tables({"target": 1}, 2, 40, UNIT)
    second.open_tables({"target": 1}, 2, 40, UNIT)
    first.open_tables({"target": 1}, 2, 200, UNIT)
    first.write_unit(0, 128, {"target": np.ones((UNIT, 1), np.float32)})()
    second.open_tables({"target": 1}, 3, 90, UNIT)
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


def test_a_claim_names_what_differs(location):
    store = Store(location)
    store.claim({"seed": 0, "unit_size": 32})
    with pytest.raises(InputError, match="seed is 0 there and 1 here"):
        store.claim({"seed": 1, "unit_size": 32})
    store.claim({"seed": 1, "unit_size": 32}, replace=True)  # nothing is scored yet
    store.open_tables({"target": 1}, 1, 40, UNIT)
    store.write_unit(0, 0, {"target": np.zeros((UNIT, 1), np.float32)})()
    Store(location).claim({"seed": 1, "unit_size": 32})
    with pytest.raises(InputError, match="seed is 1 there and 3 here"):
        Store(location).claim({"seed": 3, "unit_size": 32}, replace=True)
    with pytest.raises(InputError, match="seed is 1 there and 2 here; unit_size is 32 there and 64 here"):
        Store(location).claim({"seed": 2, "unit_size": 64})


@pytest.mark.slow
def test_a_study_in_a_bucket_is_the_study_on_a_disk(tokenizer, tmp_path, monkeypatch):
    with serve() as (address, objects):
        monkeypatch.setenv("TENSORSTORE_GCS_HTTP_URL", address)
        monkeypatch.setenv("GOOGLE_AUTH_TOKEN_FOR_TESTING", "nobody")
        kwargs = {"examples": scenes(40), "draws": 1, "detector": False, "metrics": ("accuracy",), "num_bootstrap": 2}
        far = study(tokenizer, "gs://bucket/deep/one", pictures=True, **kwargs)
        near = study(tokenizer, tmp_path, **kwargs)
        np.testing.assert_array_equal(far.importance.per_draw, near.importance.per_draw)
        assert far.workdir is None
        for name in ("importance.csv", "ranking.png", "samples.png", "config.json", "provenance.json", "study.json"):
            assert len(objects[f"deep/one/{name}"][1]) > 0
        generated = json.loads(objects["deep/one/provenance.json"][1])["images_generated"]
        again = study(tokenizer, "gs://bucket/deep/one", **kwargs)
        assert json.loads(objects["deep/one/provenance.json"][1])["images_generated"] == generated == 40 * 7
        np.testing.assert_array_equal(again.importance.per_draw, near.importance.per_draw)


def test_a_folder_that_cannot_be_written_is_named():
    with pytest.raises(InputError, match="cannot write to the folder /proc/nowhere"):
        Store("/proc/nowhere")


FULL = """
import resource, sys
import numpy as np
from cpi_jax.errors import InputError
from cpi_jax.store.status import status
from cpi_jax.store.store import Store

store = Store(sys.argv[1])
store.open_tables({"target": 1}, 1, 100_000, 4096)
unit = np.ones((4096, 1), np.float32)
store.write_unit(0, 0, {"target": unit})()
before = sorted(store.names("scores.zarr/"))
import tensorstore
try:
    for start in range(4096, 100_000, 4096):
        store.write_unit(0, start, {"target": unit[: 100_000 - start]})()
except InputError as error:
    print("refused:", error)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
def test_a_full_disk_is_one_sentence_and_corrupts_nothing(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(disk)], capture_output=True).returncode:
        pytest.skip("no right to mount")
    try:
        environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
        done = subprocess.run(
            [sys.executable, "-c", FULL, str(disk / "study")],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert "refused: no space is left on the disk" in done.stdout, done.stdout + done.stderr
        store = Store(disk / "study", readonly=True)
        store._tables.clear()
        subprocess.run(["mount", "-o", "remount,size=8m", str(disk)], check=True)
        store.open_tables({"target": 1}, 1, 100_000, 4096)
        found = store.read_draw(0)["target"]
        written = len(store.units_done()[0])
        assert 1 <= written < 25 and (found[~np.isnan(found)] == 1).all()
        assert np.isfinite(found).sum() == written * 4096
        store.write_unit(0, 4096 * 10, {"target": np.ones((4096, 1), np.float32)})()
    finally:
        subprocess.run(["umount", str(disk)], check=False)
