"""Checks what `python -m build` made: sizes, names, version, and that the wheel holds what it must and nothing else.

    python release/check.py dist

`twine check` reads the metadata; this reads the files.
"""

from __future__ import annotations

import re
import sys
import tarfile
import zipfile
from pathlib import Path

MOST = 16 * 2**20  # bytes of either
ROOT = Path(__file__).parents[1]
STRAY = re.compile(r"(^|/)(tests?|benchmarks|docs|runs|build)/|\.pyc$|__pycache__|(^|/)\.|~$|\.orig$")
NEEDED = (
    "cpi_jax/py.typed", "cpi_jax/__init__.pyi", "cpi_jax/assets/clip/merges.txt.gz", "cpi_jax/assets/clip/LICENSE",
    "cpi_jax/assets/shapes/generator/unet/diffusion_pytorch_model.safetensors",
)  # fmt: skip


def faults_of(folder: Path, version: str) -> list[str]:
    """What is wrong with the two archives in a folder, a sentence each."""
    archives = sorted(path.name for path in folder.iterdir())
    expected = [f"cpi_jax-{version}-py3-none-any.whl", f"cpi_jax-{version}.tar.gz"]
    if archives != expected:
        return [f"{folder} holds {archives}, and should hold {expected}"]
    faults = [f"{name} has {size:,} bytes" for name in archives if (size := (folder / name).stat().st_size) > MOST]
    wheel = set(zipfile.ZipFile(folder / archives[0]).namelist())
    with tarfile.open(folder / archives[1]) as file:
        source = {name.partition("/")[2] for name in file.getnames()}
    package = {path.relative_to(ROOT).as_posix() for path in (ROOT / "cpi_jax").rglob("*.py")}
    programs = {f"{place}/{path.name}" for place in ("launch", "configs") for path in (ROOT / place).glob("*.py")}
    needed = {*package, *NEEDED, *(f"cpi_jax/{name}" for name in programs)}
    faults += [f"the wheel lacks {name}" for name in sorted(needed - wheel)]
    python = {name for name in wheel if name.endswith(".py")}
    faults += [f"the wheel holds {name}, which is not in the repository" for name in sorted(python - needed)]
    needed = {*package, *NEEDED, *programs, "setup.py", "pyproject.toml", "README.md", "CHANGELOG.md", "LICENSE"}
    faults += [f"the source archive lacks {name}" for name in sorted(needed - source)]
    faults += [f"{name} is astray" for name in sorted(wheel | source) if STRAY.search(name)]
    if not re.search(
        rf"^## \[?{re.escape(version)}\b", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE
    ):
        faults.append(f"CHANGELOG.md says nothing of {version}")
    return faults


def main() -> None:
    version = re.search(r'^__version__ = "(.+?)"', (ROOT / "cpi_jax/__init__.py").read_text(), re.MULTILINE)[1]
    if faults := faults_of(Path(sys.argv[1]), version):
        sys.exit("\n".join(faults))
    sizes = ", ".join(
        f"{path.name} {path.stat().st_size / 2**20:.1f} MiB" for path in sorted(Path(sys.argv[1]).iterdir())
    )
    print(f"as they should be: {sizes}")


if __name__ == "__main__":
    main()
