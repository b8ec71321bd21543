"""Ctrl-C and SIGTERM in a program: answered at any moment, with one line and the exit code 128 + the signal's number.

Python calls its own handlers in the main thread between two steps of it, which may be minutes when a network is compiled,
and an exception raised there ends in a traceback, or in nothing where a library swallows it. Here a thread answers.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SIGNALS = (signal.SIGINT, signal.SIGTERM)
RESUME = "what is done is kept: resume with the same command"


def say(line: str) -> None:
    """Prints a line for people, below a progress bar where there is one."""
    print(f"\n{line}" if sys.stderr.isatty() else line, file=sys.stderr, flush=True)


def stop(number: signal.Signals, line: str = f"stopped; {RESUME}") -> None:
    """Ends the process at once."""
    say(line)
    os._exit(128 + number)


def stop_programs() -> None:
    """Ctrl-C and SIGTERM stop a program under launch/, or the command `cpi-jax`, that still imports what it needs."""
    program = os.path.abspath(getattr(sys.modules["__main__"], "__file__", None) or "")
    if os.path.basename(os.path.dirname(program)) == "launch" or os.path.basename(program) == "cpi-jax":
        for number in SIGNALS:
            signal.signal(number, lambda received, _: stop(signal.Signals(received)))


@contextmanager
def answering(answer: Callable[[signal.Signals], None]) -> Iterator[None]:
    """Calls `answer` in a thread when a signal comes; before and after, whoever answered before.

    Args:
      answer: of the signal; it may call `stop`, or have the main thread end.
    """
    reader, writer = os.pipe()
    os.set_blocking(writer, False)

    def listen() -> None:
        while received := os.read(reader, 1):
            if received[0] in SIGNALS:
                answer(signal.Signals(received[0]))

    thread = threading.Thread(target=listen, daemon=True, name="signals")
    handlers = {number: signal.signal(number, lambda *_: None) for number in SIGNALS}
    before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)  # the interpreter writes the number there
    thread.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before, warn_on_full_buffer=False)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        os.close(writer)
        thread.join()
        os.close(reader)
