import threading
import time

import pytest

from cpi_jax.generation.pipeline import run_ahead


@pytest.mark.parametrize("ahead", [0, 1, 3])
def test_results_come_in_order_and_few_items_are_taken_ahead(ahead):
    taken = []

    def items():
        for i in range(10):
            taken.append((i, threading.current_thread()))
            yield i

    found = []
    for result in run_ahead(lambda i: (i * i, threading.current_thread()), items(), ahead):
        found.append(result)
        assert len(taken) <= len(found) + ahead
    assert [square for square, _ in found] == [i * i for i in range(10)]
    assert {thread for _, thread in taken} == {threading.main_thread()}
    assert len({thread for _, thread in found}) == 1 and found[0][1] is not threading.main_thread()


@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt])
def test_an_error_is_raised_here_and_ends_the_calls(kind):
    calls, found = [], []

    def function(i):
        calls.append(i)
        if i == 3:
            raise kind("three")
        return i

    with pytest.raises(kind, match="three"):
        found.extend(run_ahead(function, range(10), 2))
    assert found == [0, 1, 2] and calls == [0, 1, 2, 3]


def test_a_caller_that_stops_ends_the_calls():
    calls = []
    results = run_ahead(lambda i: calls.append(i) or time.sleep(0.05), range(10), 3)
    next(results)
    results.close()
    assert len(calls) <= 2 and not any(thread.name == "scores" for thread in threading.enumerate())  # waited for


def test_an_error_of_the_items_is_raised_too():
    def items():
        yield 1
        raise KeyError("no more")

    with pytest.raises(KeyError, match="no more"):
        list(run_ahead(lambda i: i, items(), 3))


def test_the_stages_overlap():
    """Six items of 2 x 50 ms: 350 ms side by side, 600 ms one after the other."""

    def items():
        for i in range(6):
            time.sleep(0.05)
            yield i

    start = time.perf_counter()
    list(run_ahead(lambda i: time.sleep(0.05), items(), 2))
    assert 0.3 < time.perf_counter() - start < 0.5
