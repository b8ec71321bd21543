"""Concept permutation importance for image classifiers, in JAX (DEPICT, arXiv 2407.14509).

`explain` is the whole study. The rest are its parts, for research code: `permute`, `assemble`, `sample`, `score_batch`,
`importance` and `bootstrap` are pure functions of arrays and run inside the caller's transformations.
"""

from cpi_jax.baselines.oracle import oracle_importance, strata_of_others
from cpi_jax.baselines.table import baseline_table, heat_maps
from cpi_jax.captions import CaptionSlots, assemble, make_slots
from cpi_jax.checks import effective_generation, independent_permutation
from cpi_jax.classifiers.loading import load_scorer
from cpi_jax.classifiers.preprocessing import Preprocessing
from cpi_jax.classifiers.scorer import HostScorer, Scorer, load_resnet
from cpi_jax.conclude import Explanation
from cpi_jax.csv_files import read_csv
from cpi_jax.data.examples import Examples
from cpi_jax.data.shapes import make_shapes
from cpi_jax.diffusion.checkpoint import load_generator
from cpi_jax.diffusion.sampler import Generator, noise_keys, sample
from cpi_jax.embedded import SHAPES_DETECTOR, SHAPES_GENERATOR, SHAPES_TARGET
from cpi_jax.errors import InputError
from cpi_jax.explain import explain
from cpi_jax.importance.bootstrap import bootstrap, bootstrap_weights, percentile_interval
from cpi_jax.importance.functional import exact_auroc_importance, importance
from cpi_jax.importance.inference import Inference, infer
from cpi_jax.importance.interactions import interactions
from cpi_jax.importance.metrics import METRICS, Metric, accuracy, auroc, neg_log_loss, stack_metrics
from cpi_jax.importance.record import Importance, read_importance
from cpi_jax.importance.shuffles import shuffle_importance
from cpi_jax.importance.significance import benjamini_hochberg, holm
from cpi_jax.importance.stopping import reason_to_stop
from cpi_jax.importance.summary import check_table, summarize
from cpi_jax.permutation import donors, permute
from cpi_jax.scoring import score_batch
from cpi_jax.settings import Settings
from cpi_jax.variants import Lookup, ShuffledLookup, Variants, noise_ids, plan_variants, take_variants

__all__ = [
    "METRICS",
    "SHAPES_DETECTOR",
    "SHAPES_GENERATOR",
    "SHAPES_TARGET",
    "CaptionSlots",
    "Examples",
    "Explanation",
    "Generator",
    "HostScorer",
    "Importance",
    "Inference",
    "InputError",
    "Lookup",
    "Metric",
    "Preprocessing",
    "Scorer",
    "Settings",
    "ShuffledLookup",
    "Variants",
    "accuracy",
    "assemble",
    "auroc",
    "baseline_table",
    "benjamini_hochberg",
    "bootstrap",
    "bootstrap_weights",
    "check_table",
    "donors",
    "effective_generation",
    "exact_auroc_importance",
    "explain",
    "heat_maps",
    "holm",
    "importance",
    "independent_permutation",
    "infer",
    "interactions",
    "load_generator",
    "load_resnet",
    "load_scorer",
    "make_shapes",
    "make_slots",
    "neg_log_loss",
    "noise_ids",
    "noise_keys",
    "oracle_importance",
    "percentile_interval",
    "permute",
    "plan_variants",
    "read_csv",
    "read_importance",
    "reason_to_stop",
    "sample",
    "score_batch",
    "shuffle_importance",
    "stack_metrics",
    "strata_of_others",
    "summarize",
    "take_variants",
]
