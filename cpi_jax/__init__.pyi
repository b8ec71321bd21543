from .analysis.comparison import Comparison
from .analysis.explanation import Explanation
from .analysis.read_study import read_study
from .baselines.oracle import oracle_importance, strata_of_others
from .baselines.table import baseline_table, heat_maps
from .captions.permutation import donors, permute
from .captions.slots import CaptionSlots, assemble, make_slots
from .classifiers.loading import load_scorer
from .classifiers.preprocessing import Preprocessing
from .classifiers.scorer import HostScorer, Scorer, load_resnet
from .data.coco import read_coco
from .data.examples import Examples
from .data.folder import read_folder
from .data.shapes import make_shapes
from .data.table import read_table
from .data.tfds import read_tfds
from .diffusion.checkpoint import load_generator
from .diffusion.generator import Generator, Sources, sample
from .embedded import SHAPES_DETECTOR, SHAPES_GENERATOR, SHAPES_TARGET
from .errors import InputError
from .explain import explain
from .files.csv_files import read_csv
from .generation.fused_step import score_batch
from .plan.enumeration import plan_variants
from .plan.noise import noise_ids, noise_keys
from .plan.variants import Lookup, ShuffledLookup, Variants, take_variants
from .report.differences_plot import plot_differences
from .report.independence_plot import plot_independence
from .report.ranking_plot import plot_ranking
from .report.response_plot import plot_response
from .report.sheets import plot_samples
from .settings import Checks, Compute, Output, Settings, Statistics
from .statistics.baseline import infer_baseline
from .statistics.bootstrap import bootstrap, bootstrap_weights, percentile_interval
from .statistics.differences import subgroup_difference, target_difference
from .statistics.exact_auroc import exact_auroc_importance
from .statistics.functional import importance
from .statistics.inference import Inference, infer
from .statistics.interactions import interactions
from .statistics.known_share import chance_logits, known_share
from .statistics.local_changes import local_changes
from .statistics.metrics import METRICS, auroc
from .statistics.metrics.gaps import GAPS, cross_labels
from .statistics.metrics.protocol import Metric, stack_metrics
from .statistics.metrics.sums import accuracy, neg_log_loss
from .statistics.prediction_powered import correct_by_pairs
from .statistics.record import Importance, read_importance
from .statistics.shuffles import shuffle_importance
from .statistics.sign_test import sign_test
from .statistics.significance import benjamini_hochberg, holm
from .statistics.stopping import reason_to_stop
from .statistics.summary import summarize
from .statistics.validity import effective_generation, independent_permutation
from .validation.score_table import validate_table

__version__: str

__all__ = [
    "GAPS",
    "METRICS",
    "SHAPES_DETECTOR",
    "SHAPES_GENERATOR",
    "SHAPES_TARGET",
    "CaptionSlots",
    "Checks",
    "Comparison",
    "Compute",
    "Examples",
    "Explanation",
    "Generator",
    "HostScorer",
    "Importance",
    "Inference",
    "InputError",
    "Lookup",
    "Metric",
    "Output",
    "Preprocessing",
    "Scorer",
    "Settings",
    "ShuffledLookup",
    "Sources",
    "Statistics",
    "Variants",
    "accuracy",
    "assemble",
    "auroc",
    "baseline_table",
    "benjamini_hochberg",
    "bootstrap",
    "bootstrap_weights",
    "chance_logits",
    "correct_by_pairs",
    "cross_labels",
    "donors",
    "effective_generation",
    "exact_auroc_importance",
    "explain",
    "heat_maps",
    "holm",
    "importance",
    "independent_permutation",
    "infer",
    "infer_baseline",
    "interactions",
    "known_share",
    "load_generator",
    "load_resnet",
    "load_scorer",
    "local_changes",
    "make_shapes",
    "make_slots",
    "neg_log_loss",
    "noise_ids",
    "noise_keys",
    "oracle_importance",
    "percentile_interval",
    "permute",
    "plan_variants",
    "plot_differences",
    "plot_independence",
    "plot_ranking",
    "plot_response",
    "plot_samples",
    "read_coco",
    "read_csv",
    "read_folder",
    "read_importance",
    "read_study",
    "read_table",
    "read_tfds",
    "reason_to_stop",
    "sample",
    "score_batch",
    "shuffle_importance",
    "sign_test",
    "stack_metrics",
    "strata_of_others",
    "subgroup_difference",
    "summarize",
    "take_variants",
    "target_difference",
    "validate_table",
]
