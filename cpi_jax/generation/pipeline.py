"""Two stages side by side: the caller's thread begins batches on the devices while another one finishes them."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def run_ahead(function: Callable[[Item], Result], items: Iterable[Item], ahead: int) -> Iterator[Result]:
    """Yields function(item) for every item, in order.

    One thread calls the function. The items are taken in the caller's thread, `ahead` of them beyond the one whose result
    is waited for. What the function raises is raised here, and it is not called again. Once the caller closes the
    iterator (`contextlib.closing`), the call in progress is waited for: a thread that is inside the device's runtime when
    the interpreter ends aborts the process.

    Args:
      function: the second stage.
      items: the first stage, as an iterator.
      ahead: how many items to take in advance.
    """
    tasks: queue.SimpleQueue = queue.SimpleQueue()
    results: queue.SimpleQueue = queue.SimpleQueue()
    stopped = threading.Event()

    def work() -> None:
        while (task := tasks.get()) and not stopped.is_set():
            try:
                results.put((function(*task), None))
            except BaseException as error:  # KeyboardInterrupt too: it belongs to the caller
                results.put((None, error))
                return

    def take() -> Result:
        result, error = results.get()
        if error is not None:
            raise error
        return result

    thread = threading.Thread(target=work, daemon=True, name="scores")
    thread.start()
    waiting = 0
    try:
        for item in items:
            tasks.put((item,))
            waiting += 1
            if waiting > ahead:
                yield take()
                waiting -= 1
        for _ in range(waiting):
            yield take()
    finally:
        stopped.set()
        tasks.put(())
        thread.join()
