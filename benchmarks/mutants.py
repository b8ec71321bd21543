"""How many small faults do the tests see? A seeded sample of mutants of the statistics, the generation and the store.

    python benchmarks/mutants.py --count=10                  # the first ten of the sample; again: goes on from there
    python benchmarks/mutants.py --first=0 --count=150       # all; hours on two cores
    python benchmarks/mutants.py --report

A mutant is the package with one expression changed: a comparison (< for <=, == for !=), + for -, * for /, `and` for `or`, a
`not` left out, a whole number one larger, True for False. It is tried in a copy of the repository with the tests that name
its module, and where those pass with all tests of its folder; tests that fail, or do not end, kill it. What was tried is
kept in a file of JSON lines, so that the same command resumes. A survivor is a test that is missing, or a change that
changes nothing: a person tells.
"""

from __future__ import annotations

import argparse
import ast
import collections
import copy
import dataclasses
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("statistics", "generation", "store")
SAMPLE, SEED = 150, 0
GOAL = 0.85
Stage = tuple[tuple[str, ...], str]  # test files, and the marker that chooses among their tests
_COMPARISONS = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip
_OPERATORS = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Add,
}


@dataclasses.dataclass(frozen=True)
class Mutant:
    """One change of one file.

    Attributes:
      path: of the file, from the repository.
      line: where the expression begins.
      before: the expression.
      after: what stands in its place.
      start, end: of the expression in the file's bytes.
    """

    path: str
    line: int
    before: str
    after: str
    start: int
    end: int

    def apply(self, source: bytes) -> bytes:
        """The file with the change."""
        return source[: self.start] + f"({self.after})".encode() + source[self.end :]


def find_mutants(path: Path) -> list[Mutant]:
    """Every mutant of a file."""
    source = path.read_bytes()
    lines = [0]
    for line in source.splitlines(keepends=True):
        lines.append(lines[-1] + len(line))
    found = []
    for node in _expressions(ast.parse(source)):
        start, end = lines[node.lineno - 1] + node.col_offset, lines[node.end_lineno - 1] + node.end_col_offset
        before = source[start:end].decode()
        name = path.relative_to(ROOT).as_posix()
        found += [Mutant(name, node.lineno, before, ast.unparse(other), start, end) for other in _changed(node)]
    return found


def _expressions(tree: ast.AST) -> Iterator[ast.expr]:
    """Expressions that are computed with: not annotations, the words of messages, or what stands alone in a line."""
    for field, value in ast.iter_fields(tree):
        for node in value if isinstance(value, list) else [value]:
            if not isinstance(node, ast.AST) or field in ("annotation", "returns", "decorator_list"):
                continue
            if isinstance(node, (ast.Raise, ast.JoinedStr)) or (
                isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
            ):
                continue
            if isinstance(node, ast.expr):
                yield node
            yield from _expressions(node)


def _changed(node: ast.expr) -> Iterator[ast.expr]:
    """The expression with one thing changed, in each way that there is."""
    if isinstance(node, ast.Compare):
        for i, kind in enumerate(map(type, node.ops)):
            other = copy.deepcopy(node)
            other.ops[i] = _COMPARISONS[kind]()
            yield other
    elif (
        isinstance(node, ast.BinOp)
        and type(node.op) in _OPERATORS
        and not (_is_text(node.left) or _is_text(node.right))
    ):
        yield ast.BinOp(node.left, _OPERATORS[type(node.op)](), node.right)
    elif isinstance(node, ast.BoolOp):
        yield ast.BoolOp(ast.And() if isinstance(node.op, ast.Or) else ast.Or(), node.values)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield node.operand
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield ast.Constant(not node.value)
    elif isinstance(node, ast.Constant) and isinstance(node.value, int):
        yield ast.Constant(node.value + 1)


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


def sample() -> list[Mutant]:
    """The mutants that are tried, in their order."""
    paths = sorted(path for folder in FOLDERS for path in (ROOT / "cpi_jax" / folder).rglob("*.py"))
    mutants = [mutant for path in paths for mutant in find_mutants(path)]
    return random.Random(SEED).sample(mutants, SAMPLE)


def stages(path: str) -> Iterator[Stage]:
    """Which tests of a module are tried one after the other: those that name it, then its folder's, quick ones first."""
    for files in tests_of(path):
        yield from ((tuple(files), marker) for marker in ("not slow", "slow") if files)


def tests_of(path: str) -> tuple[list[str], list[str]]:
    """Test files that name a module, and the others of its folder."""
    parts = Path(path).with_suffix("").parts
    module, own = ".".join(parts).removesuffix(".__init__"), f"test_{parts[-1]}.py"
    tests = sorted((ROOT / "tests").rglob("test_*.py"))
    package = module.rpartition(".")[0]
    near: list[Path] = []
    for name in (module, package):  # of metrics, the tests name the package
        if not near and name.count(".") > 1:
            near = [file for file in tests if file.name == own or f"{name} " in file.read_text(encoding="utf-8")]
    folder = [file for file in tests if file.is_relative_to(ROOT / "tests" / parts[1]) and file not in near]
    near.sort(key=lambda file: (file.name != own, parts[1] not in file.parts))
    return tuple([file.relative_to(ROOT).as_posix() for file in files] for files in (near, folder))


def run_tests(place: Path, stage: Stage, minutes: float) -> str:
    """ "passed" (also where a stage has no tests), "failed" or "endless"."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-m", stage[1], *stage[0]]
    environment = os.environ | {"PYTHONPATH": str(place), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(
            command,
            cwd=place,
            env=environment,
            timeout=60 * minutes,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        return "endless"
    return "passed" if done.returncode in (0, pytest.ExitCode.NO_TESTS_COLLECTED) else "failed"


def try_mutant(place: Path, mutant: Mutant, sound: dict[Stage, str], minutes: float) -> dict[str, object]:
    """What became of a mutant; `sound` holds what became of the tests without it, and is added to."""
    source, started = (place / mutant.path).read_bytes(), time.monotonic()
    fate, by = "survived", ""
    for stage in stages(mutant.path):
        if stage not in sound:
            sound[stage] = run_tests(place, stage, 3 * minutes)
        if sound[stage] != "passed":
            return {"fate": "not tried", "by": f"without it, {sound[stage]}: {' '.join(stage[0])}", "seconds": 0}
        (place / mutant.path).write_bytes(mutant.apply(source))
        try:
            outcome = run_tests(place, stage, minutes)
        finally:
            (place / mutant.path).write_bytes(source)
        if outcome != "passed":
            fate, by = "killed", f"{outcome}: {stage[0][0]}{' ...' * (len(stage[0]) > 1)}, {stage[1]}"
            break
    return {"fate": fate, "by": by, "seconds": round(time.monotonic() - started, 1)}


def report(log: Path, mutants: list[Mutant]) -> str:
    """Shares of killed mutants, and the survivors."""
    tried = read(log)
    counts = collections.Counter((mutants[i].path.split("/")[1], row["fate"]) for i, row in tried.items())
    lines = ["| folder | killed | survived | share killed |", "|---|---|---|---|"]
    for folder in (*FOLDERS, "all"):
        killed, survived = (
            sum(n for (place, kind), n in counts.items() if kind == fate and folder in (place, "all"))
            for fate in ("killed", "survived")
        )
        share = f"{killed / (killed + survived):.0%}" if killed + survived else "-"
        lines.append(f"| {folder} | {killed} | {survived} | {share} |")
    minutes = sum(row["seconds"] for row in tried.values()) / 60
    lines += [
        "",
        f"{len(tried)} of {SAMPLE} tried in {minutes:.0f} minutes; goal {GOAL:.0%}",
    ]
    for i, row in sorted(tried.items()):
        if row["fate"] != "killed":
            mutant = mutants[i]
            lines.append(
                f"- {i} {row['fate']}: {mutant.path}:{mutant.line} `{mutant.before}` -> `{mutant.after}` {row['by']}"
            )
    return "\n".join(lines)


def read(log: Path) -> dict[int, dict]:
    """What was tried of this sample, by number; a line of another sample is left out."""
    rows = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    known = {json.dumps(dataclasses.asdict(mutant)): i for i, mutant in enumerate(sample())}
    return {known[key]: row for row in rows if (key := json.dumps(row["mutant"])) in known}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, default=SAMPLE)
    parser.add_argument("--minutes", type=float, default=10.0, help="after which tests are endless")
    parser.add_argument("--log", type=Path, default=ROOT / "runs" / "mutants.jsonl")
    parser.add_argument("--report", action="store_true")
    options = parser.parse_args()
    mutants = sample()
    if not options.report:
        options.log.parent.mkdir(parents=True, exist_ok=True)
        names = subprocess.run(
            ["git", "ls-files", "-z"], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True
        ).stdout
        sound: dict[Stage, str] = {}
        left = [i for i in range(SAMPLE)[options.first :][: options.count] if i not in read(options.log)]
        with tempfile.TemporaryDirectory() as place:
            for name in filter(None, names.split("\0")):
                (Path(place) / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, Path(place) / name)
            for i in left:
                row = try_mutant(Path(place), mutants[i], sound, options.minutes)
                with options.log.open("a") as log:
                    log.write(json.dumps({"mutant": dataclasses.asdict(mutants[i]), **row}) + "\n")
                print(f"{i}: {row['fate']} in {row['seconds']} s: {mutants[i].path}:{mutants[i].line}", flush=True)
    print(report(options.log, mutants))


if __name__ == "__main__":
    main()
