import threading
import time

import pytest

from cpi_jax.data.read_ahead import read_ahead
from cpi_jax.errors import InputError


def test_results_come_in_order_and_no_more_than_was_asked_is_read_ahead():
    lock, begun = threading.Lock(), []

    def read(n):
        with lock:
            begun.append(n)
        time.sleep(0.001 * (n % 3))  # later ones are ready sooner
        return n * n

    results = read_ahead(read, 200, 20)
    assert not begun  # nothing is read before something is asked for
    for n, result in enumerate(results):
        assert result == n * n and len(begun) <= n + 21
    assert sorted(begun) == list(range(200))
    assert list(read_ahead(read, 0, 20)) == []


def test_an_error_is_raised_in_its_place_and_reading_ends():
    begun = []

    def read(n):
        begun.append(n)
        if n == 3:
            raise InputError("row 4")
        return n

    results = read_ahead(read, 10_000, 40)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(InputError, match="row 4"):
        next(results)
    assert len(begun) < 100
