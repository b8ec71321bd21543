"""Trains an image classifier: the concept detector h on concepts, or a classifier f on labels.

    python launch/train_classifier.py --config=configs/detector.py --workdir=runs/detector
    python launch/train_classifier.py --config=configs/train_shapes_classifier.py:detector --workdir=/tmp/detector

It learns to say yes or no to each concept (or label) on its own, on images and columns alone. The same command resumes.
"""

from cpi_jax.cli import command_line  # isort: skip  first: from here on, Ctrl-C ends in a line

import numpy as np

from cpi_jax.classifiers.scorer import load_resnet, save_resnet
from cpi_jax.cli.flags import define_config, define_workdir
from cpi_jax.cli.from_config import examples_from_config
from cpi_jax.cli.log_lines import tell_progress
from cpi_jax.data.examples import Examples
from cpi_jax.errors import InputError, require_known
from cpi_jax.generation.score_images import score_images
from cpi_jax.training.classifier import held_out_auroc, train_classifier

_CONFIG = define_config("What to train", ("data", "targets", "held_out", "train"))
_WORKDIR = define_workdir("Where checkpoints and the export go; the same command resumes")


def main():
    tell_progress()
    config = _CONFIG.value
    require_known(config.targets, "kind of target", ("concepts", "labels"))
    data = examples_from_config(config)
    if data.images is None:
        raise InputError("a classifier is trained on images: name their column, --config.data.image")
    known = config.targets == "concepts"
    if not 0 <= config.held_out < 1:
        raise InputError(f"held_out must be a share of the rows below 1, not {config.held_out}")
    num_train = len(data) - int(config.held_out * len(data))
    if num_train < len(data):
        data = data.take(np.random.default_rng(0).permutation(len(data)))
    targets, names = (data.concepts, data.concept_names) if known else _labels(data)
    images = data.pixels()
    params = train_classifier(images[:num_train], targets[:num_train], **config.train, workdir=_WORKDIR.value)
    save_resnet(f"{_WORKDIR.value}/export", params, images.shape[1], names)
    if num_train < len(data):
        scores = score_images({"new": load_resnet(f"{_WORKDIR.value}/export")}, images[num_train:])["new"]
        for name, value in zip(names, held_out_auroc(scores, targets[num_train:])):
            print(f"{name}: AUROC {value:.3f} on {len(scores)} held-out images")
    print(f"wrote {_WORKDIR.value}/export")


def _labels(data: Examples) -> tuple[np.ndarray, tuple[str, ...]]:
    """Targets {0, 1}, [N, C], and their names: one of two classes, or one for each of several."""
    labels = np.asarray(data.labels)
    if labels.ndim == 1 and labels.max() > 1:
        labels = (labels[:, None] == np.arange(labels.max() + 1)).astype(np.int32)
    labels = labels.reshape(len(labels), -1)
    return labels, tuple(f"label {c}" for c in range(labels.shape[1]))


if __name__ == "__main__":
    command_line.run(main)
