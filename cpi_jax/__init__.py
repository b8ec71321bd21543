"""Concept permutation importance for image classifiers, in JAX (DEPICT, arXiv 2407.14509).

`explain` is the whole study. The rest are its parts, for research code: `permute`, `assemble`, `sample`, `score_batch`,
`importance` and `bootstrap` are pure functions of arrays and run inside the caller's transformations.

`__init__.pyi` lists them, and where each is: a name is imported when it is first used, and with it the libraries it needs.
"""

import lazy_loader

__version__ = "0.1.0"  # pyproject.toml reads it here
__getattr__, _, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
