"""Files are whole or not there."""

import errno
import os
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from cpi_jax.errors import InputError
from cpi_jax.files.writing import write_atomically
from cpi_jax.report.figures import save_figure


def test_a_file_is_replaced_whole_or_stays(tmp_path):
    file = tmp_path / "table.csv"
    write_atomically(file, "a\n")
    write_atomically(file, "é\r\n")
    assert file.read_bytes() == "é\r\n".encode()
    with pytest.raises(UnicodeEncodeError):
        write_atomically(file, "b" * 100_000 + "\ud800")
    assert file.read_bytes() == "é\r\n".encode()
    write_atomically(file, "c")
    assert [path.name for path in tmp_path.iterdir()] == ["table.csv"]


def test_a_figure_on_a_full_disk_is_refused_and_not_half_there(tmp_path, monkeypatch):
    figure = Figure((1, 1))
    save_figure(figure, tmp_path / "ranking.png", "svg", dpi=20)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert before.keys() == {"ranking.png", "ranking.svg"} and before["ranking.png"].startswith(b"\x89PNG")

    def full(path, content):
        path.open("wb").close()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(
        InputError, match=r"cannot write .*ranking.png \(No space left on device\); what is done is kept"
    ):
        save_figure(figure, tmp_path / "ranking.png", "svg", dpi=30)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
