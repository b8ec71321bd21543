"""Which of six shapes does a classifier rely on? The planted truth is known; runs on two CPU cores.

    python launch/explain.py --config=configs/shapes.py --workdir=runs/shapes
    python launch/explain.py --config=configs/shapes.py:small --workdir=runs/small   (a minute, ranked rightly)
    python launch/explain.py --config=configs/shapes.py:tiny --workdir=runs/tiny     (to try the commands; proves nothing)

Any field can be overridden: --config.data.num_examples=64 --config.sampler.steps=20 --config.draws=4
(cpi_jax/cli/config.py has them all).
"""

from ml_collections import ConfigDict

from cpi_jax.cli.config import base_config
from cpi_jax.data.shapes import EMPTY, PLANTED_BIAS, PLANTED_WEIGHTS
from cpi_jax.errors import require_known

SIZES = {"full": (200, 2), "small": (100, 1), "tiny": (24, 1)}  # examples and draws


def get_config(size: str = "full") -> ConfigDict:
    require_known(size, "size", tuple(SIZES))
    num_examples, draws = SIZES[size]
    config = base_config()
    config.draws = draws
    if size == "tiny":
        config.note = "24 examples are for trying the commands: their ranking proves nothing (:small ranks in a minute)"
    config.empty = EMPTY
    config.data = ConfigDict(
        {
            "source": "shapes",
            "num_examples": num_examples,
            "seed": 0,
            "start": 0,  # first id; the generator, f and h were trained on ids from 1,000,000 on
            "prevalence": 0.5,
            "correlation": 0.0,
            "weights": PLANTED_WEIGHTS,
            "bias": PLANTED_BIAS,
        }
    )
    config.generator.path = config.target.path = config.detector.path = "embedded"
    config.sampler.steps, config.sampler.guidance_scale = 8, 3.0
    return config
