"""LoRA factors of the UNet's attention (Hu et al. 2022, arXiv 2106.09685): W + alpha / rank * down @ up, W as it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from safetensors.numpy import save_file

from cpi_jax.checkpoints.weights import torch_name
from cpi_jax.errors import InputError

ADAPTED = ("to_q", "to_k", "to_v", "to_out.0")

# By the path of an attention projection, joined with "/": down [in, rank] and up [rank, out].
Factors = dict[str, dict[str, jax.Array | np.ndarray]]


def init_factors(unet: Any, rank: int, key: jax.Array) -> Factors:
    """Factors of every attention projection whose product is zero: `down` is random, `up` zero.

    Args:
      unet: the parameters that are adapted.
      key: of `down`.

    Raises:
      InputError: for a rank that no projection has.
    """
    leaves: dict[tuple[str, ...], Any] = flatten_dict(unet)
    shapes = {path[:-1]: leaf.shape for path, leaf in leaves.items() if path[-1] == "kernel"}
    shapes = {"/".join(path): shape for path, shape in sorted(shapes.items()) if path[-1] in ADAPTED}
    most = min(min(shape) for shape in shapes.values())
    if not 1 <= rank <= most:
        raise InputError(f"the rank of a LoRA must lie between 1 and {most} for this UNet, and it is {rank}")
    keys = jax.random.split(key, len(shapes))
    return {
        name: {"down": jax.random.normal(k, (wide, rank)) / rank, "up": jnp.zeros((rank, high))}
        for k, (name, (wide, high)) in zip(keys, shapes.items())
    }


def merge(unet: Any, factors: Factors, alpha: float) -> Any:
    """The adapted UNet's parameters."""
    flat: dict[tuple[str, ...], Any] = dict(flatten_dict(unet))
    for name, of in factors.items():
        path = (*name.split("/"), "kernel")
        flat[path] = flat[path] + alpha / of["down"].shape[1] * of["down"] @ of["up"]
    return unflatten_dict(flat)


def save_factors(file: str | Path, factors: Factors, alpha: float) -> None:
    """Writes safetensors with the names of kohya's scripts, which diffusers and `generator.lora` read."""
    tensors = {}
    for name, of in factors.items():
        layer = torch_name((*name.split("/"), "kernel")).removesuffix(".weight").replace(".", "_")
        tensors |= {
            f"lora_unet_{layer}.lora_down.weight": np.ascontiguousarray(np.asarray(of["down"], np.float32).T),
            f"lora_unet_{layer}.lora_up.weight": np.ascontiguousarray(np.asarray(of["up"], np.float32).T),
            f"lora_unet_{layer}.alpha": np.array(alpha, np.float32),
        }
    save_file(tensors, file, metadata={"format": "pt"})
