"""The networks that the models of the benchmark read images with."""

from __future__ import annotations

from pathlib import Path

import jax
import jax.numpy as jnp

from cpi_jax.classifiers.scorer import Scorer, load_resnet

ASSETS = Path(__file__).parent / "assets"
NETWORKS_SEED = 2  # of the planted models that the networks there were trained on
NUM_NETWORKS = 20


def load_trunk() -> Scorer:
    """The bottlenecks' common network: logits of the six concepts."""
    return load_resnet(ASSETS / "trunk")


def load_networks(count: int) -> list[Scorer]:
    """The first of the end-to-end networks; all share one `apply`, so that the second compiles nothing."""
    first, *others = (load_resnet(network_folder(ASSETS / "networks", m)) for m in range(count))
    return [first, *(first.replace(params=other.params) for other in others)]


def network_folder(root: str | Path, m: int) -> Path:
    """Where network m is kept."""
    return Path(root) / f"{m:02d}"


def side_by_side(trunk: Scorer, networks: list[Scorer]) -> Scorer:
    """One scorer: the trunk's logits, then the score of every network."""
    stacked = jax.tree.map(lambda *x: jnp.stack(x), *(network.params for network in networks))

    def apply(params, images):
        of_trunk, of_networks = params
        scores = jax.lax.map(lambda p: networks[0].apply(p, images)[:, 0], of_networks)
        return jnp.concatenate([trunk.apply(of_trunk, images), scores.T], axis=1)

    return Scorer((trunk.params, stacked), apply, name=f"trunk and {len(networks)} networks")
