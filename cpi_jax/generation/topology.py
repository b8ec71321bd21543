"""Compiles the fused step of a study for devices that are not here, and says what it would take there."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import topologies

from cpi_jax.classifiers.scorer import Scorer
from cpi_jax.diffusion.architectures import ARCHITECTURES
from cpi_jax.diffusion.networks import build_networks, param_shapes
from cpi_jax.diffusion.sampler import Generator, make_generator
from cpi_jax.diffusion.sampler_settings import SamplerSettings
from cpi_jax.errors import InputError
from cpi_jax.generation import sharding
from cpi_jax.generation.flops import count_flops
from cpi_jax.generation.fused_step import compiled_step, keyed_batch

# Memory of a chip in bytes and its peak in bf16 FLOP/s, by the first word of the topology (public specifications).
CHIPS = {"v4": (32e9, 275e12), "v5e": (16e9, 197e12), "v5p": (95e9, 459e12), "v6e": (32e9, 918e12)}
COLLECTIVES = r"all-reduce|all-gather|all-to-all|collective-permute|reduce-scatter"


@dataclasses.dataclass(frozen=True)
class Compiled:
    """What a compiled step takes.

    Attributes:
      chips: of the topology.
      batch: images a chip.
      arguments: bytes of parameters and inputs a chip.
      temporaries: bytes of working memory a chip.
      flops_per_image: of matrix products and convolutions.
      collectives: names of those in the program; a study's step has none.
      memory: bytes of a chip.
      peak: its FLOP/s.
    """

    chips: int
    batch: int
    arguments: float
    temporaries: float
    flops_per_image: float
    collectives: tuple[str, ...]
    memory: float
    peak: float

    @property
    def largest_batch(self) -> int:
        """Images a chip that fit, if all working memory grew with the batch; at least these do."""
        return int((self.memory - self.arguments) / (self.temporaries / self.batch))

    def seconds(self, images: int, utilisation: float) -> float:
        """For so many images on all chips, at a share of the peak."""
        return images * self.flops_per_image / (self.chips * self.peak * utilisation)


def compile_for(
    name: str, generator: Generator, scorers: Mapping[str, Scorer], caption_length: int, batch: int
) -> Compiled:
    """Compiles the step for a TPU topology on a machine without a TPU.

    Args:
      name: of the topology, such as v5e:2x2.
      generator: of the images; its parameters may be shapes only.
      scorers: by name.
      caption_length: tokens of a caption.
      batch: images a chip.

    Raises:
      InputError: for an unknown topology, or where libtpu is not installed.
    """
    chip = name.split(":")[0]
    if chip not in CHIPS:
        raise InputError(f"the topology must be of {', '.join(CHIPS)}, such as v5e:2x2, not {name!r}")
    try:
        devices = topologies.get_topology_desc(platform="tpu", topology_name=name).devices
    except Exception as error:
        raise InputError(f"cannot describe {name} (is the extra `tpu` installed?): {error}") from error
    mesh = sharding.local_mesh(devices)
    step = compiled_step(mesh)
    key = jax.eval_shape(lambda: jax.random.key(0))

    def arguments(rows: int) -> tuple:
        whole = jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(np.shape(x), jnp.result_type(x)), (generator, dict(scorers))
        )
        captions = jax.ShapeDtypeStruct((rows, caption_length), jnp.int32)
        return *whole, key, jax.ShapeDtypeStruct((), jnp.int32), captions, jax.ShapeDtypeStruct((rows,), jnp.uint32)

    compiled = step.lower(*arguments(batch * len(devices))).compile()
    memory = compiled.memory_analysis()
    return Compiled(
        chips=len(devices),
        batch=batch,
        arguments=memory.argument_size_in_bytes,
        temporaries=memory.temp_size_in_bytes,
        flops_per_image=count_flops(jax.make_jaxpr(keyed_batch)(*arguments(batch))) / batch,
        collectives=tuple(sorted(set(re.findall(COLLECTIVES, compiled.as_text())))),
        memory=CHIPS[chip][0],
        peak=CHIPS[chip][1],
    )


def abstract_generator(architecture: str, **sampler: Any) -> Generator:
    """A generator of a published architecture whose parameters are shapes only; `sampler` as for `load_generator`."""
    configs, scheduler = ARCHITECTURES[architecture]
    settings = SamplerSettings(**sampler)
    networks = build_networks(configs, jnp.dtype(settings.dtype))
    shapes = param_shapes(networks)
    params = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, jnp.dtype(settings.dtype)), shapes)
    unconditional = jnp.zeros(networks.max_length, jnp.int32)
    return make_generator(networks, params, scheduler, unconditional, settings)
