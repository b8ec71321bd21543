"""Where a study can lie: what cannot be meant is refused in a sentence, before anything is made."""

import os

import pytest

from cpi_jax.errors import InputError
from cpi_jax.files.location import find_location, find_path, require_writable
from cpi_jax.store.store import Store

REFUSED = {
    "": "the path is empty",
    "  ": "the path is empty",
    "gs://": "no gs://bucket/path",
    "gs:///study": "no gs://bucket/path",
    "gs:/bucket/study": "no gs://bucket/path",  # as pathlib.Path writes it
    "gs://bucket/../study": "no gs://bucket/path",
    "gs://Bucket/study": "no gs://bucket/path",
    "s3://bucket/study": "an address of 's3'",
    "file:///runs/study": "write /runs/study",
    "file://host/study": "write a path on this machine",
    "C:/runs": "an address of 'C'",
    r"runs\study": "has a backslash",
    os.fsdecode(b"runs/\xff"): "is not UTF-8",
    "runs/\0": "null character",
    "x" * 300: "File name too long",
    "dangling": "is a link to 'nowhere', which is not there",
    "dangling/study": "is a link to 'nowhere', which is not there",
    "file": "is a file, and a folder is needed",
    "file/study": "is a file, and a folder is needed",
}


@pytest.mark.parametrize("location", REFUSED, ids=ascii)
def test_what_cannot_be_meant_is_refused_and_nothing_is_made(tmp_path, monkeypatch, location):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    (tmp_path / "dangling").symlink_to("nowhere")
    for readonly in (False, True):
        with pytest.raises(InputError, match=REFUSED[location]):
            Store(location, readonly=readonly)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dangling", "file"]


def test_a_store_lies_where_the_shell_would_put_it(tmp_path, monkeypatch):
    (tmp_path / "deep" / "folder").mkdir(parents=True)
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "link").symlink_to(tmp_path / "deep" / "folder")
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("HOME", str(tmp_path))
    for location, place in {
        "../a": "a",
        "new/../b": "here/b",
        "link/../c": "deep/c",  # above what the link leads to
        "~/d": "d",
        "./e/": "here/e",
        "f: 10% #1": "here/f: 10% #1",
    }.items():
        Store(location).write("said", location)
        assert (tmp_path / place / "said").read_text() == location
        assert Store(location, readonly=True).read("said") == location.encode()
    assert Store("gs://bucket/deep/", readonly=True).location == "gs://bucket/deep"


def test_paths_of_data(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert find_path("~/a.csv") == tmp_path / "a.csv"
    assert str(find_path("owner/name@main")) == "owner/name@main"  # of the Hub
    (tmp_path / r"a\b").write_text("")
    assert find_path(tmp_path / r"a\b").is_file()
    with pytest.raises(InputError, match="an address of 'gs'"):
        find_path("gs://bucket/a.csv")


def test_looking_makes_nothing(tmp_path, monkeypatch):
    require_writable(tmp_path / "a" / "b", make=False)
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr(os, "access", lambda path, mode: os.fspath(path) != str(tmp_path))  # root may write anywhere
    with pytest.raises(InputError, match=r"cannot write to the folder .*: it is read-only"):
        require_writable(tmp_path / "a" / "b", make=False)
    with pytest.raises(InputError, match="cannot be used here"):
        find_location("gs://bucket/a", remote=False)
