"""Whose a folder is: what the study in it is known by, written once by whoever is first.

study.json says what decides every image beside the captions; scorers/NAME says whose scores a table holds. Both carry a
hash of themselves; where one is lost, the commit records say whether its scores are of this study.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cpi_jax.errors import InputError
from cpi_jax.files.json_files import parse_json, seal_json, short_json, unseal_json
from cpi_jax.store import tables
from cpi_jax.store.commits import FOLDER as COMMITS
from cpi_jax.store.commits import committed, hash_of, read_all_commits
from cpi_jax.store.files import Files
from cpi_jax.store.identity import name_hash
from cpi_jax.store.locks import StudyLock, running

FORMAT = 2
STUDY = "study.json"
SCORERS = "scorers/"
_OF_A_STUDY = (tables.FOLDER, COMMITS, SCORERS, "rows/", "variants.parquet/", "real_scores/", "early_stopping/")


def claim(files: Files, lock: StudyLock | None, identity: Mapping[str, Any], scorers: Mapping[str, str]) -> None:
    """Marks a folder as a study's, or checks that it is.

    A study of which nothing is scored gives way, where no other process has it open (never where there are no locks).

    Args:
      files: of the folder.
      lock: of this process on it; None where the files are readonly.
      identity: fields that decide every image, JSON values by name.
      scorers: hash of the scorer of each table.

    Raises:
      InputError: where the folder holds another study, or scores of one that nothing names; says what differs.
    """
    if lock is None:
        _require_same(files, identity, scorers)
        return
    try:
        if lock.try_alone() and not running(files):
            _give_way(files, identity, scorers)
        else:
            lock.share()
        for name, content in _claims(identity, scorers):
            _claim_file(files, name, content)
    finally:
        lock.share()  # also where the folder is refused: others wait for it
    _require_same(files, identity, scorers)  # also after the lock: in between it was nobody's


def read_study(files: Files) -> dict[str, Any] | None:
    """The identity of the study in a folder; None where there is none.

    Raises:
      InputError: where study.json is damaged, or of another version of the format.
    """
    content = files.read(STUDY)
    return None if content is None else _parse_study(files, content)


def read_scorers(files: Files) -> dict[str, str]:
    """Hash of the scorer of each table of a folder, by name.

    Raises:
      InputError: where a file is damaged.
    """
    out = {}
    for file in files.names(SCORERS):
        if (name := file.removeprefix(SCORERS)).isidentifier() and (held := files.read_sealed(file)) is not None:
            if not isinstance(held.get("scorer"), str):
                raise files.damaged(file, "it names no scorer")
            out[name] = held["scorer"]
    return out


def is_legacy(files: Files) -> bool:
    """Whether a folder is of the format before, without commit records."""
    content = files.read(STUDY)
    try:
        fields = set() if content is None else parse_json(content).keys()
    except ValueError:
        return False
    return name_hash("generator") in fields and not {"format", "images"} & fields


def write_claim(files: Files, identity: Mapping[str, Any], scorers: Mapping[str, str]) -> None:
    """Writes what a study is known by, study.json last."""
    for name, content in reversed(_claims(identity, scorers)):
        files.write(name, content)


def _claims(identity: Mapping[str, Any], scorers: Mapping[str, str]) -> list[tuple[str, str]]:
    study = (STUDY, seal_json({"format": FORMAT, "images": dict(identity)}))
    return [study, *((f"{SCORERS}{name}", seal_json({"scorer": scorer})) for name, scorer in scorers.items())]


def _parse_study(files: Files, content: bytes) -> dict[str, Any]:
    try:
        held = unseal_json(content)
        version, identity = held["format"], held["images"]
    except (ValueError, KeyError) as error:
        raise files.damaged(STUDY, error) from None
    if version != FORMAT:
        raise InputError(f"{files.location} is of format {version}, and this version of cpi_jax reads {FORMAT}")
    return identity


def _claim_file(files: Files, name: str, content: str) -> None:
    """Writes one of the files by which a study is known; one that is lost or damaged, if the records are of this study."""
    there = files.read(name)
    try:
        sound = there is not None and unseal_json(there).keys() == unseal_json(content.encode()).keys()
    except ValueError:
        sound = False
    if sound:
        return
    if others := _scored_by_others(files, name, content):
        what = "lost" if there is None else "damaged"
        raise InputError(
            f"{name} in {files.location} is {what}, and the folder holds {others}: restore it from a copy, or choose "
            "another --workdir"
        )
    if there is None:
        files.write_first(name, content)
        return
    files.write(name, content)
    files.say_once(
        f"{name} in {files.location} was damaged, and is written again: the commit records are of this study"
    )


def _scored_by_others(files: Files, name: str, content: str) -> str:
    """What scores a folder holds that are not of what a lost file should say; empty where all are."""
    mine, table = unseal_json(content.encode()), name.removeprefix(SCORERS)
    records = read_all_commits(files).values()
    if name == STUDY:
        if any(record["study"] != hash_of(mine["images"]) for record in records):
            return "scores of another study (another seed, generator or other settings)"
        return "scores that nothing names" if not records and tables.chunks(files) else ""
    entries = [record["tables"][table] for record in records if table in record["tables"]]
    if any(not isinstance(entry, dict) or entry.get("scorer") != mine["scorer"] for entry in entries):
        return f"scores of another {table}"
    return ""


def _give_way(files: Files, identity: Mapping[str, Any], scorers: Mapping[str, str]) -> None:
    """Removes another study of which nothing is scored, and the claims of tables of which nothing is."""
    done = committed(files)
    try:
        there = read_study(files)
    except InputError:
        return  # the records decide
    if there is not None and there != dict(identity) and not done:
        if tables.chunks(files):
            return  # scores whose records are lost are another study's, too
        names = [name for folder in _OF_A_STUDY for name in files.names(folder)]
        files.remove([*names, STUDY])  # its name goes last
        return
    records = read_all_commits(files).values() if done and _differ(files, scorers) else ()
    for name in _differ(files, scorers):
        if not any(name in record["tables"] for record in records):
            files.remove([*files.names(f"{tables.FOLDER}{name}/"), f"{SCORERS}{name}"])


def _differ(files: Files, scorers: Mapping[str, str]) -> list[str]:
    held = {name: files.read_note(f"{SCORERS}{name}", sealed=True) for name in scorers}
    return [name for name, scorer in scorers.items() if held[name] is not None and held[name] != {"scorer": scorer}]


def _require_same(files: Files, identity: Mapping[str, Any], scorers: Mapping[str, str]) -> None:
    there = read_study(files)
    if there is None:
        if files.readonly and not tables.chunks(files):
            return
        raise InputError(f"{files.location} was emptied by another launch: run the command again")
    known = read_scorers(files)
    both = scorers.keys() & known.keys()
    there = {**there, **{name_hash(name): known[name] for name in both}}
    mine = {**identity, **{name_hash(name): scorers[name] for name in both}}
    if differ := [k for k in sorted(there.keys() | mine.keys()) if there.get(k) != mine.get(k)]:
        what = "; ".join(
            f"{k} is {short_json(there.get(k))} there and {short_json(mine.get(k))} here" for k in differ[:4]
        )
        named = {name_hash(name) for name in both} - {name_hash("target"), name_hash("detector")}
        mend = "Give the classifier another name, or choose" if named.issuperset(differ) else "Choose"
        raise InputError(f"{files.location} holds another study: {what}. {mend} another --workdir")
