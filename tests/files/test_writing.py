"""Files are whole or not there."""

import pytest

from cpi_jax.files.writing import write_atomically


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
