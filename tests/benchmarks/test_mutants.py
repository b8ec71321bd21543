"""What counts as a mutant: one expression changed, in a file that still parses, and nothing that is only said."""

import ast
import dataclasses
import json

import pytest

from benchmarks import mutants

SOURCE = '''
"""Says 1 < 2."""
LIMIT: "Int[Array, '3']" = 3


def f(x: int, y: "4" = True) -> "5 + 5":
    if not x < LIMIT and f"{x + 1}":
        raise ValueError(f"below {x - 1}" + "more")
    return (x + y) / "é" if x in (y, ) else x - y
'''
CHANGES = {
    "3 -> 4", "True -> False", "not x < LIMIT and f\"{x + 1}\" -> not x < LIMIT or f'{x + 1}'",
    "not x < LIMIT -> x < LIMIT",
    "x < LIMIT -> x <= LIMIT", "x + y -> x - y", "x in (y, ) -> x not in (y,)", "x - y -> x + y",
}  # fmt: skip


def test_each_change_is_of_one_expression(tmp_path, monkeypatch):
    monkeypatch.setattr(mutants, "ROOT", tmp_path)
    path = tmp_path / "module.py"
    path.write_text(SOURCE, encoding="utf-8")
    found = mutants.find_mutants(path)
    assert {f"{mutant.before} -> {mutant.after}" for mutant in found} == CHANGES and len(found) == len(CHANGES)
    trees = {ast.dump(ast.parse(mutant.apply(path.read_bytes()))) for mutant in found}
    assert len(trees) == len(CHANGES) and ast.dump(ast.parse(SOURCE)) not in trees


def test_the_sample_is_the_same_each_time_and_has_tests():
    chosen = mutants.sample()
    assert len(chosen) == mutants.SAMPLE == len({dataclasses.astuple(mutant) for mutant in chosen})
    assert chosen == mutants.sample() and {mutant.path.split("/")[1] for mutant in chosen} == set(mutants.FOLDERS)
    near, folder = mutants.tests_of("cpi_jax/statistics/bootstrap.py")
    assert near[0].startswith("tests/statistics/test_") and folder and not {*near} & {*folder}
    assert "tests/statistics/test_metrics.py" in mutants.tests_of("cpi_jax/statistics/metrics/roc.py")[0]


@pytest.mark.parametrize("near, folder, fate", [
    ("failed", "passed", "killed"), ("passed", "endless", "killed"), ("passed", "passed", "survived"),
    (None, None, "not tried"),
])  # fmt: skip
def test_a_mutant_is_killed_by_tests_that_passed_without_it(tmp_path, monkeypatch, near, folder, fate):
    mutant = mutants.sample()[0]
    whole = (mutants.ROOT / mutant.path).read_bytes()
    (tmp_path / mutant.path).parent.mkdir(parents=True)
    (tmp_path / mutant.path).write_bytes(whole)

    def run_tests(place, stage, minutes):
        changed = (place / mutant.path).read_bytes() != whole
        if near is None or not changed:
            return "passed" if near else "failed"
        return "passed" if stage[1] == "not slow" else near if stage[0] == ("near",) else folder

    monkeypatch.setattr(mutants, "run_tests", run_tests)
    monkeypatch.setattr(mutants, "tests_of", lambda path: (["near"], ["folder"]))
    row = mutants.try_mutant(tmp_path, mutant, {}, 1.0)
    assert row["fate"] == fate and (tmp_path / mutant.path).read_bytes() == whole
    log = tmp_path / "log"
    log.write_text(json.dumps({"mutant": dataclasses.asdict(mutant), **row}) + '\n{"mutant": "of another sample"}\n')
    assert mutants.read(log) == {0: json.loads(log.read_text().splitlines()[0])}
    assert f"1 of {mutants.SAMPLE} tried" in mutants.report(log, mutants.sample())
