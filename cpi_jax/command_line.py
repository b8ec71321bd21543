"""Starts the programs under launch/: a mistake of the user ends in one sentence and exit code 1, not in a traceback."""

from __future__ import annotations

import logging as stdlib_logging
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

import jax
from absl import app, flags, logging

from cpi_jax.cache import keep_compiled
from cpi_jax.errors import InputError
from cpi_jax.ranges import check_config

MOST_CPU_DEVICES = 16


def run(main: Callable[[], None], required: tuple[str, ...] = ("config", "workdir")) -> None:
    """Parses the flags and calls `main`.

    Args:
      main: the program.
      required: flags that must be given.
    """
    flags.mark_flags_as_required(list(required))
    app.run(lambda argv: _guarded(main, argv), flags_parser=_parse)


def _guarded(main: Callable[[], None], argv: list[str]) -> None:
    if len(argv) > 1:
        sys.exit(f"error: unknown arguments {' '.join(argv[1:])}; see --help")
    if not flags.FLAGS["verbosity"].present:
        logging.set_verbosity(logging.WARNING)
    keep_compiled()
    use_cores()
    try:
        if "config" in flags.FLAGS:
            check_config(flags.FLAGS["config"].value)
        main()
    except InputError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("\nstopped; what is done is kept: resume with the same command")


def tell_progress() -> None:
    """Shows what this package and the program say of their progress; of other libraries, warnings."""
    own = (str(Path(__file__).parent), str(Path(sys.argv[0]).resolve()))
    logging.set_verbosity(logging.INFO)
    logging.get_absl_handler().addFilter(
        lambda record: record.levelno >= stdlib_logging.WARNING or os.path.realpath(record.pathname).startswith(own)
    )


def use_cores() -> None:
    """On a CPU, one device a core: small batches side by side keep the cores busier than one large one (BUILD_NOTES.md).

    Before JAX's backends start. GPUs and TPUs are as ever.
    """
    if number := num_cpu_devices():
        jax.config.update("jax_num_cpu_devices", number)


def num_cpu_devices(num_processes: int = 1) -> int:
    """One for each of a process's cores; 0 where `JAX_NUM_CPU_DEVICES` or XLA's flag for host devices says how many.

    Args:
      num_processes: that share the cores.
    """
    said = os.environ.get("XLA_FLAGS", "")
    if "JAX_NUM_CPU_DEVICES" in os.environ or "xla_force_host_platform_device_count" in said:
        return 0
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(max(1, cores // num_processes), MOST_CPU_DEVICES)


def _parse(argv: list[str]) -> list[str]:
    try:
        return app.parse_flags_with_usage(argv)
    except (KeyError, AttributeError) as error:  # an unknown field of the config; ml_collections names the nearest
        hint = re.search(r'Did you mean "([^"]+)" instead of "([^"]+)"', str(error))
        what = f"{hint[2]!r}; did you mean {hint[1]!r}?" if hint else str(error)
        sys.exit(f"error: the config has no field {what}")
    except (OSError, ImportError, ValueError, TypeError) as error:
        sys.exit(f"error: {error}")
