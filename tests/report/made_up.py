"""An `Explanation` of numbers that are known, without a study: nothing is generated or compiled."""

import jax.numpy as jnp
import numpy as np
import pandas as pd

from cpi_jax.analysis.explanation import Explanation
from cpi_jax.statistics.record import Importance


def made_importance(names, value, *, half=0.05, draws=2, verdicts=None, metrics=("auroc",), ranked=None):
    """Concepts with importances [F], each of `metrics` a tenth of the one before.

    Intervals reach `half` below and twice as far above.
    """
    f, m = len(names), len(metrics)
    value = np.asarray(value, float) * 10.0 ** -np.arange(m)[:, None]
    ranked = np.ones(f, bool) if ranked is None else np.asarray(ranked, bool)
    rank = np.where(ranked, np.argsort(np.argsort(-np.where(ranked, value, -9))) + 1, 0)
    spread = np.linspace(-0.01, 0.01, draws) if draws > 1 else np.zeros(1)
    arrays = {
        "per_draw": value[:, None] + spread[:, None], "value": value, "ci_low": value - half, "ci_high": value + 2 * half,
        "p": np.full((m, f), 0.0123), "p_holm": np.where(ranked, 0.0246, np.nan) + np.zeros((m, 1)),
        "rank": rank, "rank_low": np.where(ranked, np.maximum(rank - 1, 1), 0), "rank_high": rank, "ranked": ranked,
        "outranks": np.zeros((m, f, f)), "dropped": np.zeros(m, int),
        "share_changed": np.full(f, 0.5), "share_alone": np.zeros(f),
        **dict.fromkeys(("error", "p_bh", "p_bootstrap", "share_of_draws"), np.full((m, f), 0.01)),
        **dict.fromkeys(("num_changed", "num_new", "num_impossible"), np.zeros(f, int)),
    }  # fmt: skip
    arrays = {name: jnp.asarray(array) for name, array in arrays.items()}
    return Importance(**arrays, names=tuple(names), metrics=tuple(metrics), verdicts=tuple(verdicts or ["pass"] * f))


def made_checks(names, change, *, failing=()):
    """Independence of every pair: `change` [F, F]; pairs (permuted, detected) of `failing` fail."""
    rows = [
        {
            "check": "independent permutation", "permuted": a, "concept": b, "role": "permuted" if a == b else "other",
            "change": change[i][j], "auroc_permuted_labels": 0.98, "verdict": "fail" if (a, b) in failing else "pass",
        }
        for i, a in enumerate(names) for j, b in enumerate(names)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def made_responses(concept, values, scores, *, ordered=True):
    """Scores [outputs, values] with intervals from 0.5 below to 1 above; the later a value, the more examples have it."""
    parts = [
        pd.DataFrame(
            {
                "concept": concept, "value": list(values), "ordered": ordered, "output": output,
                "examples": 10 + np.arange(len(values)), "score": of_output,
            }
        )
        for output, of_output in enumerate(np.asarray(scores, float))
    ]  # fmt: skip
    table = pd.concat(parts, ignore_index=True)
    return table.assign(ci_low=table["score"] - 0.5, ci_high=table["score"] + 1)


def made_differences(concepts, difference, p_holm, *, group="M", against="F", metric="auroc"):
    """Differences [F] between two subgroups of "sex", with intervals from 0.1 below to 0.2 above; p below .05 shows one."""
    table = pd.DataFrame({"concept": concepts, "difference": difference, "p_holm": p_holm, "verdict": "pass"})
    table = table.assign(between="sex", group=group, against=against, metric=metric, p=np.asarray(p_holm) / 2)
    low, high = table["difference"] - 0.1, table["difference"] + 0.2
    return table.assign(ci_low=low, ci_high=high, differs=table["p_holm"] <= 0.05)


def made_explanation(importance, *, checks=None, workdir=None, text="", **tables):
    checks = pd.DataFrame(columns=["check"]) if checks is None else checks
    return Explanation(importance, importance.to_frame(), checks, None, {}, None, None, workdir, text=text, **tables)
