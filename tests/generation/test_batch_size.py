import json
import time

import jax
import numpy as np
import pytest

from cpi_jax.errors import InputError
from cpi_jax.generation import batch_size


@pytest.fixture
def search(tmp_path, monkeypatch):
    """Finds a batch size for a made-up device: seconds for so many images, out of memory beyond so many."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    def run(seconds, memory=10**9, name="net"):
        tried, clock = [], [0.0]
        monkeypatch.setattr(time, "monotonic", lambda: clock[0])

        def dispatch(draw, variants):
            if len(variants) > memory:
                raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: out of memory")
            tried.append(len(variants))
            clock[0] += seconds(len(variants))
            return np.zeros(1)

        return batch_size.find_batch_size(dispatch, 1000, jax.local_devices()[:1], name), tried

    return run


def test_it_doubles_until_throughput_no_longer_grows(search):
    found, tried = search(lambda b: 1 + max(0, b - 32) / 32)  # no faster from 32 on
    assert found == 32 and tried == [4, 4, 8, 8, 16, 16, 32, 32, 64, 64]
    assert search(lambda b: 1.0) == (32, [])  # remembered
    assert search(lambda b: 1.0, name="other")[0] == 512


def test_it_stays_within_memory(search):
    assert search(lambda b: 1.0, memory=20)[0] == 16
    with pytest.raises(InputError, match="4 images at once do not fit into the memory of a cpu"):
        search(lambda b: 1.0, memory=3, name="huge")


def test_a_spoilt_cache_entry_of_another_kind_is_not_used(search, tmp_path):
    (tmp_path / "cpi_jax").mkdir()
    (tmp_path / "cpi_jax" / "batch_sizes.json").write_text(json.dumps({"8 x TPU v5e: net": 128}))
    assert search(lambda b: 1.0, memory=8)[0] == 8
    assert json.loads((tmp_path / "cpi_jax" / "batch_sizes.json").read_text())["8 x TPU v5e: net"] == 128
