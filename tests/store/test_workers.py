"""Several workers, killed and resumed, on one store: nothing is lost, nothing is done twice.

Long, since all tests share what starts and kills the processes.
"""

import dataclasses
import fcntl
import json
import random
import re
import shutil
import signal
import tarfile
import time

import numpy as np
import pytest
from PIL import Image

from cpi_jax.analysis.early_stopping import EarlyStopping
from cpi_jax.errors import InputError
from cpi_jax.opening import open_study
from cpi_jax.settings import Compute, Settings, Statistics
from cpi_jax.store.store import Store
from cpi_jax.store.workers import Budget, Worker, find_worker, hold_share, read_tallies, running
from tests import painter
from tests.painted_study import PaintedStudy
from tests.painter import scenes

pytestmark = pytest.mark.slow

UNIT, DRAWS, VARIANTS = 32, 2, 700


def study(*arguments, **settings):
    """A study that is quick to evaluate."""
    return painter.study(*arguments, **painter.SMALL | settings)


def finish(*processes):
    for process in processes:
        code, out, err = process.wait()
        assert code == 0 and "ends: share done" in out, err


def read(workdir, draws=DRAWS):
    return Store.open_existing(workdir).read_scores(draws)


@pytest.fixture(scope="module")
def whole_folder(tmp_path_factory):
    """An uninterrupted run on one device."""
    folder = tmp_path_factory.mktemp("whole")
    finish(PaintedStudy(folder))
    return folder


@pytest.fixture(scope="module")
def whole(whole_folder):
    """Its tables."""
    return read(whole_folder)


def kill_and_resume(workdir, kills, longest):
    """Starts 1-3 workers and kills them at a random moment, again and again; then lets others finish in another folder.

    Args:
      workdir: of the study.
      kills: how many times.
      longest: seconds from when all have begun.

    Returns:
      Where the folder was moved to before the end, how many kills met running workers, and images in the workers' tallies.
    """
    random.seed(kills)
    met = 0
    for _ in range(kills):
        count = random.randint(1, 3)
        workers = [PaintedStudy(workdir, f"{i}/{count}", seconds=0.1) for i in range(count)]
        for worker in workers:
            worker.wait_until_it_begins()
        time.sleep(random.uniform(0, longest))
        met += any(worker.running() for worker in workers)
        for worker in workers:
            worker.kill()
            worker.wait()
    workdir = workdir.rename(workdir.with_name("moved"))
    finish(*[PaintedStudy(workdir, f"{i}/2", devices=2) for i in range(2)])
    return workdir, met, sum(tally["images"] for tally in read_tallies(Store(workdir)).values())


def check_tables(workdir, whole):
    """The target sees images of 8 bits, the detector on device sums in another order on other batches."""
    found = read(workdir, len(whole["target"]))
    np.testing.assert_array_equal(found["target"], whole["target"])
    np.testing.assert_allclose(found["detector"], whole["detector"], atol=1e-5)


def test_killed_workers_lose_only_what_was_in_flight(whole, tmp_path):
    """The last leg runs 2 workers on 2 devices each: the tables are those of one device, bit for bit in the noise."""
    moved, met, counted = kill_and_resume(tmp_path / "first", 2, 3)
    assert met > 0
    # Images in flight at a kill are in no tally. A unit that is written is counted once, unless the kill came in between.
    assert DRAWS * VARIANTS - 2 * 3 * UNIT <= counted <= DRAWS * VARIANTS
    check_tables(moved, whole)
    assert Store(moved).units_done() == {draw: set(range(22)) for draw in range(DRAWS)}


def test_two_launches_of_one_share_are_refused(tmp_path):
    store = Store(tmp_path)
    again = hold_share(store, Worker(0, 2))
    refused = pytest.raises(InputError, match="worker 0/2 already runs in")
    with hold_share(store, Worker(0, 2)), hold_share(store, Worker(1, 2)), refused:
        again.__enter__()
    lock = tmp_path / "workers" / "0-of-2.lock"
    with lock.open("w") as file:  # a lock file that a killed process left behind holds nobody up
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.flock(file, fcntl.LOCK_UN)
    with hold_share(store, Worker(0, 2)):
        pass


def test_other_shares_are_refused_while_a_worker_runs(tmp_path):
    store = Store(tmp_path)
    with hold_share(store, Worker(0, 2)), hold_share(store, Worker(1, 2)):
        assert running(store) == ["0-of-2", "1-of-2"]
        with pytest.raises(InputError, match=r"worker 0/2 runs in .*: it cuts the work into other shares than 0/1"):
            hold_share(store, Worker(0, 1)).__enter__()
    assert running(store) == []
    with hold_share(store, Worker(0, 1)):
        pass


def test_another_study_does_not_take_a_running_ones_folder(tokenizer, tmp_path):
    """Also before its first unit is written."""
    parts = {
        "tokenizer": tokenizer,
        "generator": painter.painter(),
        "scorers": {"target": painter.reader(painter.WEIGHTS)},
    }
    first = open_study(scenes(20), settings=Settings(draws=1), workdir=tmp_path, **parts)
    with hold_share(first.store, Worker()), pytest.raises(InputError, match="seed is 0 there and 5 here"):
        open_study(scenes(20), settings=Settings(draws=1, seed=5), workdir=tmp_path, **parts)
    open_study(
        scenes(20), settings=Settings(draws=1, seed=5), workdir=tmp_path, **parts
    )  # nobody runs and nothing is scored
    with pytest.raises(InputError, match="seed is 5 there and 0 here"):
        first.generate()


def test_readonly_changes_nothing(tokenizer, tmp_path):
    parts = {
        "tokenizer": tokenizer,
        "generator": painter.painter(),
        "scorers": {"target": painter.reader(painter.WEIGHTS)},
    }
    kwargs = {"workdir": tmp_path / "a", **parts}
    few = Settings(draws=1, concepts=("red circle",), compute=Compute(unit_size=32, batch_size=16))
    open_study(scenes(20), settings=few, **kwargs).generate()
    before = {path: path.read_bytes() for path in (tmp_path / "a").rglob("*") if path.is_file()}
    more = open_study(scenes(30), settings=dataclasses.replace(few, draws=3, concepts=()), readonly=True, **kwargs)
    assert more.scores.count_done(3).tolist() == [40, 0, 0] and more.num_images == 3 * 30 * 7
    assert np.isfinite(more.scores.read(1)["target"]).sum() == 40
    assert {path: path.read_bytes() for path in (tmp_path / "a").rglob("*") if path.is_file()} == before
    new = open_study(scenes(20), settings=few, readonly=True, **(kwargs | {"workdir": tmp_path / "new"}))
    assert new.scores.count_done(1).tolist() == [0] and not (tmp_path / "new").exists()


def test_damage_behind_an_early_end_is_mended(tokenizer, tmp_path):
    """The third of three draws was not needed; a chunk of the second one is damaged; two workers take it up."""
    parts = {
        "tokenizer": tokenizer,
        "generator": painter.painter(),
        "scorers": {"target": painter.reader(painter.WEIGHTS)},
    }
    settings = Settings(
        draws=3,
        compute=Compute(unit_size=32, batch_size=16),
        statistics=Statistics(stop_width=1e6, metrics=("accuracy",), num_bootstrap=2),
    )
    study = open_study(scenes(30), settings=settings, workdir=tmp_path, **parts)
    end = EarlyStopping(study)
    name = end._file
    study.generate()
    whole = study.scores.read(3)["target"]
    study.store.write_sealed(name, {"draws": 2, "reason": "made up"})
    chunk = tmp_path / "scores.zarr" / "target" / "c" / "1" / "3" / "0"
    chunk.write_bytes(chunk.read_bytes()[:50])
    (tmp_path / "scores.zarr" / "target" / "c" / "2" / "0" / "0").unlink()
    assert study.scores.count_done(study.settings.draws).tolist() == [210, 178, 178]
    for i in (0, 1):
        study.generate(worker=Worker(i, 2), stopping=end)
    assert study.scores.count_done(study.settings.draws).tolist() == [210, 210, 178]
    np.testing.assert_array_equal(study.scores.read(2)["target"], whole[:2])


def test_all_images_can_be_kept(tokenizer, tmp_path):
    study(tokenizer, tmp_path, examples=scenes(60), draws=1, keep_images="png")
    kept = {}
    for shard in sorted((tmp_path / "kept" / "draw-000").glob("*.tar")):
        with tarfile.open(shard) as tar:
            kept |= {int(m.name.split(".")[0]): np.asarray(Image.open(tar.extractfile(m))) for m in tar.getmembers()}
    assert sorted(kept) == list(range(420))
    for row in (0, 1, 6):  # of the first example, which is sampled too
        np.testing.assert_array_equal(kept[row], np.asarray(Image.open(tmp_path / "images" / f"variant_{row}.png")))
    captions = _column(tmp_path, "caption")
    bright = np.array([kept[row][0, 0, 0] > 128 for row in range(420)])  # the red circle's patch
    np.testing.assert_array_equal(bright, ["red circle" in caption for caption in captions])


def test_ids_of_another_kind_are_refused(tokenizer, tmp_path):
    painter.generate(tokenizer, tmp_path, examples=scenes(20), draws=1, detector=False)
    narrow = dataclasses.replace(scenes(60), ids=np.arange(60, dtype=np.int32))
    assert study(tokenizer, tmp_path, examples=narrow, draws=1).unfinished is None
    texts = dataclasses.replace(scenes(70), ids=np.array([str(i) for i in range(70)]))
    with pytest.raises(InputError, match="example ids are int64 there and string here"):
        study(tokenizer, tmp_path, examples=texts, draws=1)


def test_ten_damaged_chunks_are_found_and_redone(whole_folder, whole, tmp_path):
    shutil.copytree(whole_folder, tmp_path, dirs_exist_ok=True)
    rng = np.random.default_rng(0)
    chunks = sorted((tmp_path / "scores.zarr").glob("*/c/*/*/0"))
    for place in rng.choice(len(chunks), 10, replace=False):
        raw = bytearray(chunks[place].read_bytes())
        raw[rng.integers(len(raw))] ^= 1 << rng.integers(8)
        chunks[place].write_bytes(raw)
    damaged = read(tmp_path)
    lost = sum(int(np.isnan(table).any(-1)[:, ::UNIT].sum()) for table in damaged.values())
    assert lost == 10
    code, _, err = PaintedStudy(tmp_path).wait()
    assert "damaged units" in err and code == 0
    check_tables(tmp_path, whole)


def test_a_signal_lets_the_batch_in_flight_end(whole, tmp_path):
    process = PaintedStudy(tmp_path, seconds=0.3)
    process.wait_until_it_begins()
    deadline = time.monotonic() + 60
    while not Store(tmp_path).units_done() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.kill(signal.SIGTERM)
    code, out, err = process.wait()
    assert code == 128 + signal.SIGTERM and out == "begins\n"
    done = re.fullmatch(r"(.|\n)*SIGTERM: ends after the batch in flight; .*\nstopped: (\d+) of 1,400 images .*\n", err)
    stopped = read(tmp_path)["target"]
    scored = ~np.isnan(stopped).any(-1)
    assert 0 < scored.sum() == int(done[2]) < DRAWS * VARIANTS and scored.sum() % 12 == 0  # batches, not units
    np.testing.assert_array_equal(stopped[scored], whole["target"][scored])
    # Every image that was generated is in the table.
    assert sum(tally["images"] for tally in read_tallies(Store(tmp_path)).values()) == scored.sum()


def test_examples_and_concepts_extend_a_study(tokenizer, tmp_path):
    few = scenes(40)
    study(tokenizer, tmp_path, examples=few, concepts=("red circle", "blue circle"), draws=1)
    first = json.loads((tmp_path / "provenance.json").read_text())["images_generated"]
    assert first == 40 * 3
    bigger = scenes(60)  # the same 40, and 20 more
    same = [i for i in range(40) if bigger.slots[i] == few.slots[i]]
    assert len(same) == 40
    whole = study(tokenizer, tmp_path / "at once", examples=bigger, draws=1)
    found = study(tokenizer, tmp_path, examples=bigger, draws=1)
    assert json.loads((tmp_path / "provenance.json").read_text())["images_generated"] == 60 * 7
    np.testing.assert_array_equal(found.importance.per_draw, whole.importance.per_draw)
    parts = sorted(path.name for path in (tmp_path / "variants.parquet").glob("*.parquet"))
    assert parts == ["part-00000.parquet", "part-00001.parquet"]
    # Fewer again: nothing is generated, and the numbers are those of the smaller study.
    again = study(tokenizer, tmp_path, examples=few, concepts=("red circle", "blue circle"), draws=1)
    assert json.loads((tmp_path / "provenance.json").read_text())["images_generated"] == 60 * 7
    assert again.importance.names == ("red circle", "blue circle")
    other = dataclasses.replace(few, slots=[few.slots[1], *few.slots[1:]])
    with pytest.raises(InputError, match=r"the caption of example 0 is .* there and .* here"):
        study(tokenizer, tmp_path, examples=other, draws=1)


def test_a_budget_ends_a_run_and_says_what_is_finished(tokenizer, tmp_path):
    examples = scenes(60)
    found = study(tokenizer, tmp_path, examples=examples, max_images=250, draws=2)
    assert json.loads((tmp_path / "provenance.json").read_text())["images_generated"] == 250
    count = int(found.unfinished.split(" of ")[0])
    assert found.unfinished == f"{count} of 60 examples, one draw" and 30 <= count <= 250 // 7
    # It is the study of these examples alone: the first ones in the order of the table.
    order = list(dict.fromkeys(_column(tmp_path, "example_id")))[:count]
    part = examples.take(np.sort(order))
    alone = study(tokenizer, tmp_path / "alone", examples=part, draws=1)
    np.testing.assert_array_equal(found.importance.per_draw, alone.importance.per_draw)
    one = study(tokenizer, tmp_path, examples=examples, max_images=250, draws=2)
    assert one.unfinished == "1 of 2 draws"


def _column(workdir, name):
    return Store(workdir).variants()[name].to_pylist()


def test_who_a_process_is():
    assert find_worker("1/3", {}) == Worker(1, 3) and find_worker("", {}) == Worker(0, 1)
    array = {"SLURM_ARRAY_TASK_ID": "7", "SLURM_ARRAY_TASK_MIN": "5", "SLURM_ARRAY_TASK_COUNT": "4"}
    assert find_worker("", array) == Worker(2, 4)
    assert find_worker("", {"SLURM_PROCID": "3", "SLURM_NTASKS": "8"}) == Worker(3, 8)
    for text in ("3/2", "2/2", "0/0", "one", "1", "-1/2"):
        with pytest.raises(InputError, match="a worker is i/n"):
            find_worker(text, {})
    units = np.arange(10)
    owned = np.stack([Worker(i, 3).owns(1, units) for i in range(3)])
    assert (owned.sum(0) == 1).all() and owned.sum(1).min() == 3


def test_budgets():
    assert Budget().spent(10**9) == "" and Budget(max_images=5).left(3) == 2
    assert Budget(max_images=5).spent(5) == "max_images = 5 are generated"
    assert Budget(max_minutes=1e-9).spent(0) == "max_minutes = 1e-09 are over"
