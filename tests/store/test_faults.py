"""Faults in every file of a study: no wrong number, no traceback, no loop.

benchmarks/store_faults.py has the long form.
"""

from tests.store.faults import Folder, run_faults


def test_no_fault_passes_in_silence(tokenizer, tmp_path):
    folder = Folder(tmp_path / "study", tokenizer)
    ended, wrong = run_faults(folder, 160, seed=0)
    assert not wrong
    total = sum(ended.values(), start=type(next(iter(ended.values())))())
    assert total["whole"] > 0 and total["fewer scores"] > 0 and total["refused"] > 0
