"""Data flows one way: a module imports only what comes before it, and slow libraries when they are used."""

import ast
import inspect
import re
import subprocess
import sys
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "cpi_jax"
# Later stages may import earlier ones.
ORDER = [
    {"errors", "wording", "signals", "cache"},
    {"extras"},
    {"files", "validation", "user_code"},
    {"embedded", "settings"},
    {"data"},
    {"captions"},
    {"plan"},
    {"checkpoints"},
    {"statistics"},
    {"networks"},
    {"diffusion", "classifiers"},
    {"store"},
    {"generation"},
    {"study"},
    {"baselines", "training"},
    {"report"},  # reads files alone; `analysis` calls it once they are written
    {"analysis"},
    {"opening"},
    {"explain"},
    {"cli"},
]
ALONE = {"errors", "extras", "wording", "signals", "cache", "embedded", "settings"}  # modules that are no folders
FILES = [path for path in PACKAGE.rglob("*.py") if path.name != "__init__.py"]
STAGE = {name: level for level, names in enumerate(ORDER) for name in names}


def imports(path, *, for_types=True):
    tree = ast.parse(path.read_text())
    only_types = [node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    skipped = set() if for_types else {id(node) for block in only_types for node in ast.walk(block)}
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            if node.module == "cpi_jax":
                yield from (f"cpi_jax.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def test_no_module_imports_a_later_stage():
    for path in PACKAGE.rglob("*.py"):
        place = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if place == "__init__":
            continue
        for module in imports(path):
            parts = module.split(".")
            if parts[0] == "cpi_jax" and len(parts) > 1:
                assert STAGE[parts[1]] <= STAGE[place], f"{path} imports {module}"
                if STAGE[parts[1]] == STAGE[place] and len(ORDER[STAGE[place]]) > 1:
                    assert parts[1] == place or place in ALONE, f"{path} imports {module}, which stands beside it"


def test_no_module_imports_itself_by_way_of_others():
    modules = {path: "cpi_jax." + ".".join(path.relative_to(PACKAGE).with_suffix("").parts) for path in FILES}
    wanted = {
        name: {m for m in imports(path, for_types=False) if m in modules.values()} for path, name in modules.items()
    }
    while free := {name for name, others in wanted.items() if not others}:  # what imports nothing is taken away
        wanted = {name: others - free for name, others in wanted.items() if name not in free}
    assert not wanted, f"these import each other: {sorted(wanted)}"


def test_the_map_names_the_folders_in_the_order_of_imports():
    lines = (
        (PACKAGE.parent / "docs" / "architecture.md").read_text().split("## The folders")[1].split("##")[0].split("\n")
    )
    named = [re.findall(r"`(\w+)/?`", line.split("|")[1]) for line in lines if line.startswith("| `")]
    places = [STAGE[name] for row in named for name in row]
    assert {name for row in named for name in row} == set(STAGE) and places == sorted(places)


def test_files_are_short_or_say_why_not():
    for path in FILES:
        assert len(path.read_text().split("\n")) <= 300, f"{path} has more than 300 lines: one idea a file"


def test_the_report_reads_only_what_is_on_disk():
    for path in (PACKAGE / "report").rglob("*.py"):
        own = {m for m in imports(path) if m.startswith("cpi_jax")}
        others = {module for module in own if not module.startswith("cpi_jax.report.")}
        assert others <= {"cpi_jax.errors", "cpi_jax.files.csv_files", "cpi_jax.files.writing", "cpi_jax.wording"}


def loaded_by(code):
    """Top-level modules, and scipy's own, that a process has after some code."""
    code = f"{code}; import sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=PACKAGE.parent, capture_output=True, text=True, check=True)
    return {name if name.startswith("scipy.") else name.partition(".")[0] for name in done.stdout.split()}


SLOW = {"matplotlib", "xarray", "orbax", "skimage", "tensorflow_datasets"}  # to import


def test_libraries_are_imported_when_they_are_used():
    assert not {*SLOW, "jax", "pandas", "scipy"} & loaded_by("import cpi_jax")
    assert not {*SLOW, "scipy.stats"} & loaded_by("import cpi_jax.cli.config")  # which every configuration imports
    loaded = loaded_by("import cpi_jax; [getattr(cpi_jax, name) for name in cpi_jax.__all__]")
    assert not SLOW & loaded and "pandas" in loaded


def test_functions_that_are_named_as_their_modules_stay_functions():
    import cpi_jax
    import cpi_jax.statistics.metrics

    assert inspect.isfunction(cpi_jax.explain) and callable(cpi_jax.importance)
