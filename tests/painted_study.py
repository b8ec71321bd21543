"""A worker of a small study of the painter's images, to be started, killed and started again as a process of its own.

python -m tests.painted_study WORKDIR --worker=0/2 --devices=2 --seconds=.05
"""

import argparse
import os
import sys

from tests.quick_compiling import FLAGS


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("workdir")
    parser.add_argument("--worker", default="0/1")
    parser.add_argument("--devices", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=0.0, help="that the classifier takes for a batch")
    parser.add_argument("--draws", type=int, default=2)
    parser.add_argument("--examples", type=int, default=100)
    parser.add_argument("--max_images", type=int, default=0)
    arguments = parser.parse_args()
    os.environ["XLA_FLAGS"] = f"{FLAGS} --xla_force_host_platform_device_count={arguments.devices}"

    from cpi_jax.errors import InputError

    try:
        run(arguments)
    except InputError as error:
        sys.exit(f"error: {error}")


def run(arguments):
    import time

    import numpy as np

    from cpi_jax.classifiers.scorer import HostScorer
    from cpi_jax.opening import open_study
    from cpi_jax.settings import Compute, Output, Settings, Statistics
    from cpi_jax.store.workers import Budget, find_worker
    from tests.painter import WEIGHTS, painter, read_patches, reader, scenes
    from tests.words import WordTokenizer

    def slow(images):
        time.sleep(arguments.seconds)
        return np.asarray(read_patches(np.asarray(WEIGHTS, np.float32), images))

    settings = Settings(
        draws=arguments.draws,
        compute=Compute(unit_size=32, batch_size=12),
        statistics=Statistics(num_bootstrap=10),
        output=Output(sampled_examples=0),
    )
    study = open_study(
        scenes(arguments.examples),
        generator=painter(),
        tokenizer=WordTokenizer(),
        scorers={"target": HostScorer(slow, name="slow"), "detector": reader(np.eye(6))},
        settings=settings,
        workdir=arguments.workdir,
    )
    budget = Budget(max_images=arguments.max_images)
    print("begins", flush=True)
    with budget.listening():
        ended = study.generate(worker=find_worker(arguments.worker), budget=budget)
    print(f"ends: {ended or 'share done'}", flush=True)


if __name__ == "__main__":
    main()
