"""The networks of Stable Diffusion in Flax, with PyTorch's names: a weight's path, joined by dots, is its name in files."""

from cpi_jax.diffusion.networks.stable_diffusion import (
    EmbeddedCaptions,
    Networks,
    build_networks,
    init_params,
    param_shapes,
    size_ids,
)

__all__ = ["EmbeddedCaptions", "Networks", "build_networks", "init_params", "param_shapes", "size_ids"]
