"""Lists what cpi_jax needs, and under which licence each of it stands, from the metadata of an installed environment.

    .venv/bin/python release/licences.py > LICENSES.md

Everything that an install brings, by way of others too; of extras those of `all`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution

from packaging.requirements import Requirement

_HEAD = """\
# Licences

cpi_jax stands under the Apache License 2.0 (LICENSE). The vocabulary of CLIP that comes with it is OpenAI's, under the MIT
License (cpi_jax/assets/clip/LICENSE); the weights that come with it were trained by this project.

What an install brings besides, as each says of itself (`release/licences.py` makes this list):

| package | licence | for |
|---|---|---|"""
_SHORT = 60  # letters; longer ones are whole texts of licences


def needed(name: str, extras: tuple[str, ...] = ()) -> Iterator[Distribution]:
    """A distribution and all that it needs here, each once."""
    seen: set[tuple[str, str]] = set()
    waiting = [(name, extra) for extra in ("", *extras)]
    found: dict[str, Distribution] = {}
    while waiting:
        name, extra = waiting.pop()
        key = re.sub(r"[-_.]+", "-", name).lower()
        if (key, extra) in seen:
            continue
        seen.add((key, extra))
        try:
            found[key] = distribution(name)
        except PackageNotFoundError:  # of another system or Python
            continue
        for text in found[key].requires or ():
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                waiting += [(requirement.name, also) for also in ("", *requirement.extras)]
    return iter(found.values())


def licence_of(package: Distribution) -> str:
    """What a distribution says of its licence, in a few words."""
    metadata = package.metadata
    if expression := metadata.get("License-Expression"):
        return expression
    words = [text.rpartition(" :: ")[2] for text in metadata.get_all("Classifier") or () if text.startswith("License")]
    said = (metadata.get("License") or "").strip()
    short = said if said and "\n" not in said and len(said) <= _SHORT else ""
    return short or ", ".join(words) or "see its files"


def table() -> str:
    """The list as Markdown."""
    always = {package.name for package in needed("cpi_jax")}
    lines = [_HEAD]
    for package in sorted(needed("cpi_jax", ("all",)), key=lambda package: package.name.lower()):
        if package.name != "cpi_jax":
            lines.append(f"| {package.name} | {licence_of(package)} | {'' if package.name in always else 'extras'} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())
