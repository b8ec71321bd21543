"""Trains a classifier of the shapes: the black box f ("target") or the concept detector h ("detector").

python launch/train_classifier.py --config=configs/train_shapes_classifier.py:detector --workdir=/tmp/detector
"""

from absl import flags, logging
from ml_collections import config_flags

from cpi_jax import command_line
from cpi_jax.classifiers.scorer import save_resnet
from cpi_jax.data.shapes import make_shapes
from cpi_jax.training.classifier import train_classifier

_CONFIG = config_flags.DEFINE_config_file("config", None, "What to train.")
_WORKDIR = flags.DEFINE_string("workdir", None, "Where checkpoints and the export go; the same command resumes.")


def main():
    logging.set_verbosity(logging.INFO)
    config = _CONFIG.value
    data = make_shapes(**config.data)
    targets = data.concepts if config.targets == "concepts" else data.labels[:, None]
    params = train_classifier(data.images, targets, **config.train, workdir=_WORKDIR.value)
    save_resnet(f"{_WORKDIR.value}/export", params)


if __name__ == "__main__":
    command_line.run(main)
