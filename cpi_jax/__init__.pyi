from .baselines.oracle import oracle_importance, strata_of_others
from .baselines.table import baseline_table, heat_maps
from .captions import CaptionSlots, assemble, make_slots
from .checks import effective_generation, independent_permutation
from .classifiers.loading import load_scorer
from .classifiers.preprocessing import Preprocessing
from .classifiers.scorer import HostScorer, Scorer, load_resnet
from .conclude import Explanation
from .csv_files import read_csv
from .data.examples import Examples
from .data.shapes import make_shapes
from .diffusion.checkpoint import load_generator
from .diffusion.sampler import Generator, noise_keys, sample
from .embedded import SHAPES_DETECTOR, SHAPES_GENERATOR, SHAPES_TARGET
from .errors import InputError
from .explain import explain
from .importance.bootstrap import bootstrap, bootstrap_weights, percentile_interval
from .importance.functional import exact_auroc_importance, importance
from .importance.inference import Inference, infer
from .importance.interactions import interactions
from .importance.metrics import METRICS, Metric, accuracy, auroc, neg_log_loss, stack_metrics
from .importance.record import Importance, read_importance
from .importance.shuffles import shuffle_importance
from .importance.significance import benjamini_hochberg, holm
from .importance.stopping import reason_to_stop
from .importance.summary import check_table, summarize
from .permutation import donors, permute
from .scoring import score_batch
from .settings import Settings
from .variants import Lookup, ShuffledLookup, Variants, noise_ids, plan_variants, take_variants

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
