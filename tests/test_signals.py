"""Ctrl-C and SIGTERM: one line and an exit code, whatever the main thread is doing."""

import os
import signal
import subprocess
import sys
import threading
import time
from unittest import mock

from cpi_jax import signals
from cpi_jax.store.workers import Budget
from tests.launching import ROOT


def send(number, received):
    """Sends a signal to this process and waits for its answer."""
    before = len(received)
    os.kill(os.getpid(), number)
    deadline = time.monotonic() + 10
    while len(received) == before and time.monotonic() < deadline:
        time.sleep(0.01)


def test_a_thread_answers_until_the_end_of_the_block():
    received, handler = [], signal.getsignal(signal.SIGINT)
    with signals.answering(received.append):
        send(signal.SIGINT, received)
        with signals.answering(lambda number: received.append("inner")):
            send(signal.SIGTERM, received)
        send(signal.SIGTERM, received)
    assert received == [signal.SIGINT, "inner", signal.SIGTERM]
    assert signal.getsignal(signal.SIGINT) is handler and signal.set_wakeup_fd(-1) == -1
    assert not [thread for thread in threading.enumerate() if thread.name == "signals"]


def test_scores_that_are_not_written_are_waited_for_once():
    received, budget = [], Budget()
    with (
        mock.patch("cpi_jax.signals.stop", lambda number, *line: received.append(number)),
        mock.patch("cpi_jax.signals.say", received.append),
        budget.listening(),
    ):
        send(signal.SIGINT, received)
        assert received == [signal.SIGINT] and not budget.interrupted
        budget.keeping = True
        send(signal.SIGINT, received)
        assert budget.interrupted and "SIGINT: ends after the batch in flight" in received[1]
        send(signal.SIGTERM, received)
    assert received[2] == signal.SIGTERM


def test_a_program_that_imports_is_stopped_with_one_line(tmp_path):
    command = [sys.executable, "launch/explain.py", "--config=configs/shapes.py:tiny", f"--workdir={tmp_path / 'run'}"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (130, "", "stopped; what is done is kept: resume with the same command\n")
