"""Which of six shapes does a classifier rely on? The planted truth is known; runs on two CPU cores.

    python launch/explain.py --config=configs/shapes.py --workdir=runs/shapes
    python launch/explain.py --config=configs/shapes.py:tiny --workdir=runs/tiny     (under a minute)

Any field can be overridden: --config.data.num_examples=64 --config.sampler.steps=20 --config.draws=4
(cpi_jax/from_config.py has them all).
"""

from ml_collections import ConfigDict

from cpi_jax.data.shapes import EMPTY, PLANTED_BIAS, PLANTED_WEIGHTS
from cpi_jax.errors import require_known
from cpi_jax.from_config import base_config


def get_config(size: str = "full") -> ConfigDict:
    require_known(size, "size", ("full", "tiny"))
    config = base_config()
    config.draws = 2 if size == "full" else 1
    config.empty = EMPTY
    config.data = ConfigDict(
        {
            "source": "shapes",
            "num_examples": 200 if size == "full" else 24,
            "seed": 0,
            "start": 0,  # first id; the generator, f and h were trained on ids from 1,000,000 on
            "prevalence": 0.5,
            "correlation": 0.0,
            "weights": PLANTED_WEIGHTS,
            "bias": PLANTED_BIAS,
        }
    )
    config.generator.path = config.classifier.path = config.detector.path = "embedded"
    config.sampler.steps, config.sampler.guidance_scale = 8, 3.0
    return config
