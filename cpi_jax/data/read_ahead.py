"""Reading several things at a time, in order, before they are asked for."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

T = TypeVar("T")


def read_ahead(read: Callable[[int], T], count: int, ahead: int) -> Iterator[T]:
    """What `read` returns of 0 to `count` - 1, in order, read by a thread a core.

    Args:
      read: called by several threads; what it raises is raised where its result is asked for.
      count: how many.
      ahead: results that are read before they are asked for, at most.
    """
    threads = os.cpu_count() or 1
    numbers, pool = iter(range(count)), ThreadPoolExecutor(threads)
    try:
        reading = deque(pool.submit(read, n) for n in islice(numbers, max(ahead, threads)))
        while reading:
            result = reading.popleft().result()
            reading.extend(pool.submit(read, n) for n in islice(numbers, 1))
            yield result
    finally:  # also where nobody asks for more
        pool.shutdown(wait=False, cancel_futures=True)
