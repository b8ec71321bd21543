"""A classifier whose scores a study's folder holds, and whose code is not run."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from cpi_jax.classifiers.network import Network, as_scorer
from cpi_jax.classifiers.outputs import find_classes
from cpi_jax.classifiers.scorer import HostScorer
from cpi_jax.user_code import untrusted


class RecordedScorer(HostScorer):
    """Stands for a classifier of the user's code where its scores are read: whoever calls it is refused.

    Args:
      module: "package.module:name" of the code.
      identity: what the study knows the classifier by (`params_hash`).
      num_outputs: scores an image in the study's table.
      classes, task, probabilities: as of `load_scorer`; they say how the scores in the table are read.
    """

    def __init__(
        self,
        module: str,
        identity: str,
        num_outputs: int,
        *,
        classes: Sequence[int | str] = (),
        task: str = "",
        probabilities: bool = False,
    ):
        refuse = partial(_refuse, module)
        network = Network(HostScorer(refuse, module))
        read = as_scorer(network, find_classes(classes, ()), task, probabilities)
        super().__init__(refuse, identity, read.probabilities, read.task)
        self.module, self.num_outputs = module, num_outputs

    def try_out(self, shape: tuple[int, int, int, int]) -> int:
        """The number of outputs, without a try."""
        return self.num_outputs


def _refuse(module: str, images: np.ndarray) -> np.ndarray:
    raise untrusted(f"to score {len(images)} images with {module}")
