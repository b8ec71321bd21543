"""How independent the permutation is, as a heat map."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from cpi_jax.errors import InputError
from cpi_jax.report.figures import axes_on
from cpi_jax.report.style import DIVERGING, NAME, PLAIN, SMALL, styled
from cpi_jax.report.tables import table_of
from cpi_jax.wording import apart, signed

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST = 100  # concepts either way
_WIDE = 14  # concepts, up to which cells hold words
_SMALL = 0.03  # changes below it are no number in narrow cells


def plot_independence(explanation: Any, *, ax: Any = None) -> Axes:
    """Heat map: how the detector's AUROC for each concept changes when each concept is permuted.

    Off the diagonal nothing should change; on it the detector should follow the words of the permuted captions. Each cell
    says its number, and FAIL or ? (inconclusive) where its check did not pass; with more than 14 concepts FAIL is an x, and
    changes below .03 are not written.

    Args:
      explanation: an `Explanation`, or its `checks`.
      ax: matplotlib axes to draw on; by default those of a new figure of pyplot, of a size that fits.

    Returns:
      The axes, whose image is the changes [permuted, detected].

    Raises:
      InputError: where independence was not checked, since there was no detector.

    Example:
      >>> import pandas as pd
      >>> from matplotlib.figure import Figure  # a notebook shows the figure without it
      >>> checks = pd.DataFrame({"permuted": ["dog", "dog"], "concept": ["dog", "cat"], "role": ["permuted", "other"]})
      >>> checks = checks.assign(check="independent permutation", change=[-0.4, 0.0], auroc_permuted_labels=0.98)
      >>> ax = cpi_jax.plot_independence(checks.assign(verdict="pass"), ax=Figure())
      >>> ax.images[0].get_array().tolist()
      [[-0.4, 0.0]]
    """
    checks = table_of(explanation, "checks", ("check",))
    part = checks.loc[checks["check"] == "independent permutation"]
    if part.empty:
        raise InputError("independence was not checked: it needs a detector")
    permuted, detected = _first(part["permuted"]), _first(part["concept"])
    change, follows, verdict, role = (
        part.pivot(index="permuted", columns="concept", values=v).reindex(index=permuted, columns=detected)
        for v in ("change", "auroc_permuted_labels", "verdict", "role")
    )
    f, k = change.shape
    wide = max(f, k) <= _WIDE
    width, height = (1.15, 0.6) if wide else (0.3, 0.25)
    with styled():
        ax = axes_on(ax, (width * k + 4, height * f + 3))
        image = ax.imshow(change, cmap=DIVERGING, vmin=-0.5, vmax=0.5, aspect="auto")
        for i in range(f):
            for j in range(k):
                own = role.iat[i, j] == "permuted"
                words = (_wide if wide else _narrow)(change.iat[i, j], follows.iat[i, j], own, verdict.iat[i, j])
                color = "white" if abs(change.iat[i, j]) > 0.3 else "black"
                if not words:
                    continue
                text = ax.text(j, i, words, ha="center", va="center", fontsize=SMALL if wide else 5, color=color)
                text.set_in_layout(False)  # it stands within the axes, and thousands take long to measure
        ax.set_xticks(range(k), apart(detected, NAME), rotation=35, ha="right", rotation_mode="anchor", **PLAIN)
        ax.set_yticks(range(f), apart(permuted, NAME), **PLAIN)
        key = "?: inconclusive" if wide else f"x: FAIL, ?: inconclusive, no number: below {_SMALL}"
        ax.set_xlabel(f"concept that the detector looks for ({key})")
        ax.set_ylabel("permuted concept")
        ax.spines[:].set_visible(True)
        ax.figure.colorbar(image, ax=ax, label="change of AUROC, original captions")
    return ax


def _wide(change: float, follows: float, own: bool, verdict: str) -> str:
    lines = [signed(change, 3), f"follows {follows:.3f}" if own else "", _outcome(verdict, "FAIL")]
    return "\n".join(filter(None, lines))


def _narrow(change: float, follows: float, own: bool, verdict: str) -> str:
    number = f"{change:+.2f}".replace("0.", ".", 1) if abs(change) >= _SMALL else ""
    return "\n".join(filter(None, [number, _outcome(verdict, "x")]))


def _outcome(verdict: str, failed: str) -> str:
    return {"fail": failed, "inconclusive": "?"}.get(verdict, "")


def _first(names: pd.Series) -> list[str]:
    return list(dict.fromkeys(names))[:_MOST]
