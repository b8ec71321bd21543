"""Compiles a study's step for a TPU topology on a machine without one: memory, work, collectives, time.

    python launch/compile_for.py --config=configs/shapes.py --topology=v5e:2x2
    python launch/compile_for.py --config=configs/shapes.py --config.sampler.steps=20 --architecture=sd15 --topology=v5e:2x2

Needs the extra `tpu` (libtpu). The numbers of memory are the compiler's; the time follows from the work and a stated
utilisation, and was not measured on a TPU.
"""

import os

os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")
os.environ["JAX_PLATFORMS"] = "cpu"

import time

from absl import flags

from cpi_jax.cli import command_line
from cpi_jax.cli.flags import define_study
from cpi_jax.diffusion.architectures import ARCHITECTURES
from cpi_jax.errors import InputError

_CONFIG = define_study()
_TOPOLOGY = flags.DEFINE_string("topology", None, "Of the TPUs, such as v5e:2x2.")
_ARCHITECTURE = flags.DEFINE_enum("architecture", None, [*ARCHITECTURES], "Instead of the study's checkpoint.")
_BATCH = flags.DEFINE_integer("batch", 8, "Images a chip.", lower_bound=1)
_IMAGES = flags.DEFINE_integer("images", 1_000_000, "For which the time is said.", lower_bound=1)
_UTILISATION = flags.DEFINE_float("utilisation", 0.4, "Share of the peak.", lower_bound=0.01, upper_bound=1.0)
GB = 1e9


def main():
    from cpi_jax.classifiers.scorer import Scorer
    from cpi_jax.cli.from_config import generator_from_config, scorers_from_config
    from cpi_jax.generation.topology import abstract_generator, compile_for

    config = _CONFIG.value
    if _ARCHITECTURE.value:
        generator = abstract_generator(_ARCHITECTURE.value, **config.sampler)
    else:
        generator, _ = generator_from_config(config)
    # A host's classifier is not compiled.
    scorers = {name: scorer for name, scorer in scorers_from_config(config).items() if isinstance(scorer, Scorer)}
    started = time.monotonic()
    found = compile_for(_TOPOLOGY.value, generator, scorers, generator.caption_length, _BATCH.value)
    seconds = found.seconds(_IMAGES.value, _UTILISATION.value)
    print(f"{_TOPOLOGY.value}: {found.chips} chips, compiled in {time.monotonic() - started:.0f} s")
    print(f"memory a chip at {found.batch} images: {found.arguments / GB:.2f} GB parameters and inputs")
    print(f"  and {found.temporaries / GB:.2f} GB working memory, of {found.memory / GB:.0f} GB")
    print(f"largest batch that fits: {found.largest_batch} a chip, if all working memory grows with the batch")
    print(f"work: {found.flops_per_image / 1e12:.4g} TFLOP an image")
    print(f"collectives: {', '.join(found.collectives) or 'none'}")
    print(f"time for {_IMAGES.value:,} images: {seconds / 3600:,.2f} hours ({seconds:,.0f} s)")
    print(f"  at {_UTILISATION.value:.0%} of the peak, which was not measured")
    if found.collectives:
        raise InputError("the step must not communicate between chips, and it does")


if __name__ == "__main__":
    command_line.run(main, required=("config", "topology"))
