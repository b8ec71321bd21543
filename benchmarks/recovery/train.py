"""Trains the end-to-end networks of the recovery benchmark, one after the other, and exports each to a folder.

python -m benchmarks.recovery.train --config=benchmarks/recovery/train_config.py --workdir=/tmp/recovery
"""

from cpi_jax.cli import command_line
from cpi_jax.cli.flags import define_config, define_workdir
from cpi_jax.cli.log_lines import tell_progress

_CONFIG = define_config("What to train", ("data", "train"))
_WORKDIR = define_workdir("Where checkpoints and the exports go; the same command resumes")


def main():
    from benchmarks.recovery.models import planted_models
    from benchmarks.recovery.readers import NETWORKS_SEED, NUM_NETWORKS, network_folder
    from cpi_jax.classifiers.scorer import save_resnet
    from cpi_jax.data.shapes import CONCEPTS, make_shapes
    from cpi_jax.training.classifier import train_classifier

    tell_progress()
    config, workdir = _CONFIG.value, _WORKDIR.value
    data = make_shapes(**config.data)
    labels = planted_models(NUM_NETWORKS, len(CONCEPTS), NETWORKS_SEED).labels(data.concepts, data.ids)
    for m, targets in enumerate(labels):
        params = train_classifier(
            data.images, targets[:, None], name=f"network_{m:02d}", seed=m, workdir=workdir, **config.train
        )
        save_resnet(network_folder(f"{workdir}/export", m), params)


if __name__ == "__main__":
    command_line.run(main)
