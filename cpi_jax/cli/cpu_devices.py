"""How many devices JAX makes of a machine's cores."""

from __future__ import annotations

import os

MOST_CPU_DEVICES = 16


def use_cores() -> None:
    """On a CPU, one device a core: small batches side by side keep the cores busier than one large one (BUILD_NOTES.md).

    Before JAX's backends start. GPUs and TPUs are as ever.
    """
    import jax

    if number := num_cpu_devices():
        jax.config.update("jax_num_cpu_devices", number)


def num_cpu_devices(num_processes: int = 1) -> int:
    """One for each of a process's cores; 0 where `JAX_NUM_CPU_DEVICES` or XLA's flag for host devices says how many.

    Args:
      num_processes: that share the cores.
    """
    xla_flags = os.environ.get("XLA_FLAGS", "")
    if "JAX_NUM_CPU_DEVICES" in os.environ or "xla_force_host_platform_device_count" in xla_flags:
        return 0
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(max(1, cores // num_processes), MOST_CPU_DEVICES)
