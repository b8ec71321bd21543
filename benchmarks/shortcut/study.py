"""Does this classifier take a shortcut? Garments on photographs, where grass says "footwear" in 95 % of the images.

    python launch/explain.py --config=benchmarks/shortcut/study.py --workdir=runs/biased
    python launch/explain.py --config=benchmarks/shortcut/study.py --workdir=runs/balanced \\
        --config.target.path=benchmarks/shortcut/assets/balanced

Needs Fashion-MNIST: the Debian package dataset-fashion-mnist, or --config.data.path=FOLDER of its IDX files.
"""

from ml_collections import ConfigDict

from benchmarks.shortcut.photographs import ASSETS, SOURCE
from cpi_jax.cli.config import base_config, data_config
from cpi_jax.errors import require_known


def get_config(size: str = "full") -> ConfigDict:
    require_known(size, "size", ("full", "tiny"))
    tiny = size == "tiny"
    config = base_config()
    config.draws = 1
    if tiny:
        config.note = "30 examples are for trying the commands: their ranking proves nothing"
    config.separator, config.empty = " ", "a photo"
    # The study's own split of Fashion-MNIST, which generator and classifiers never saw, as correlated as the biased
    # classifier's training images: where background and label are independent, no AUROC is lost without the background.
    config.data = data_config(SOURCE, split="study", num_examples=30 if tiny else 700, correlation=0.9)
    config.generator.path, config.detector.path = str(ASSETS / "generator"), str(ASSETS / "detector")
    config.target.path = str(ASSETS / "biased")
    config.sampler.steps, config.sampler.guidance_scale = (4 if tiny else 8), 3.0
    return config
