"""Faults in every file of a study: no wrong number, no traceback, no loop.

benchmarks/store_faults.py has the long form.
"""

import os

import pytest

from tests.store.disks import small_disk
from tests.store.fault_launches import Launches
from tests.store.faults import Folder, run_faults


@pytest.mark.slow
def test_no_fault_passes_in_silence(tokenizer, tmp_path):
    folder = Folder(tmp_path / "study", tokenizer)
    ended, wrong = run_faults(folder, 160, seed=0)
    assert not wrong
    total = sum(ended.values(), start=type(next(iter(ended.values())))())
    assert total["whole"] > 0 and total["fewer scores"] > 0 and total["refused"] > 0


@pytest.mark.slow
def test_a_launch_on_a_full_disk_ends_in_a_sentence_and_resumes(tmp_path):
    """While the folder is claimed, while images are written, and while results are."""
    launches = Launches(tmp_path)
    needed = 0  # KiB of a whole study
    for moment in ("claiming", "generating", "results"):
        kilobytes = {"claiming": 8, "generating": needed // 2, "results": needed - 12}[moment]
        with small_disk(tmp_path / moment, kilobytes) as (disk, remount):
            full = launches.launch("explain", workdir=disk / "study")
            sentence = f"error: no space is left on the disk of {disk}/study; what is done is kept: make space and run"
            assert full.code == 1 and full.err.splitlines()[-1] == f"{sentence} the same command", (moment, full.err)
            assert "Traceback" not in full.err
            remount("size=8m")
            again = launches.launch("explain", workdir=disk / "study")
            assert again.code == 0 and (disk / "study/importance.csv").read_bytes() == launches.truth
            needed = (os.statvfs(disk).f_blocks - os.statvfs(disk).f_bfree) * os.statvfs(disk).f_frsize // 1024
