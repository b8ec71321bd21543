"""The networks of Stable Diffusion in Flax, with PyTorch's names: a weight's path, joined by dots, is its name in files."""

from cpi_jax.diffusion.networks.stable_diffusion import Networks, build_networks, init_params, param_shapes

__all__ = ["Networks", "build_networks", "init_params", "param_shapes"]
