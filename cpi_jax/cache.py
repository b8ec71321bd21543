"""What is kept between studies: compiled programs, and the batch sizes that were found."""

from __future__ import annotations

import os
from pathlib import Path

import jax


def cache_folder() -> Path:
    """$XDG_CACHE_HOME/cpi_jax, else ~/.cache/cpi_jax."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cpi_jax"


def keep_compiled() -> None:
    """Keeps compiled programs on disk, so that a restart does not compile again; JAX_COMPILATION_CACHE_DIR goes first."""
    # jax makes its options as it is imported, out of a type checker's sight.
    if not jax.config.jax_compilation_cache_dir:  # pyright: ignore[reportAttributeAccessIssue]
        jax.config.update("jax_compilation_cache_dir", str(cache_folder() / "xla"))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)  # the statistics are many small programs
