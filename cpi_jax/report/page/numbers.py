"""Numbers and names as sentences say them."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup, escape

from cpi_jax.wording import in_a_line

LETTERS = 80  # of a name in a sentence or a table

METRICS = {
    "auroc": ("AUROC", "the chance that a picture of the class gets a higher score "
        "than a picture of another: 1 is perfect, 0.5 is guessing"),
    "accuracy": ("accuracy", "the share of pictures that are decided rightly"),
    "balanced_accuracy": ("balanced accuracy", "the share of pictures that are decided "
        "rightly, each class counting the same"),
    "neg_log_loss": ("log-likelihood", "how much probability the classifier gives to the right "
        "answer, as a mean logarithm: 0 is perfect, lower is worse"),
    "neg_brier": ("Brier score (negated)", "minus the squared distance between the "
        "probability and the right answer: 0 is perfect"),
    "average_precision": ("average precision", "how pure the pictures with the highest scores are: 1 is perfect"),
    "f1": ("F1", "the balance of precision and recall: 1 is perfect"),
}  # fmt: skip


def metric_name(metric: str) -> str:
    """AUROC, accuracy, ...; another name as it is."""
    base, bracket, output = metric.partition("[")
    name = METRICS.get(base.removesuffix("_per_class"), (base.replace("_", " "), ""))[0]
    return f"{name} of class {output.rstrip(']')}" if bracket else name


def metric_meaning(metric: str) -> str:
    """What the metric is, in a clause; empty of one that is not known."""
    return METRICS.get(metric.partition("[")[0].removesuffix("_per_class"), ("", ""))[1]


def number(x: float, digits: int = 3) -> str:
    """0.193, −0.004; "–" where there is none. A minus is a minus sign, and zero has none."""
    if x != x:
        return "–"
    text = f"{x:.{digits}f}"
    return (text if float(text) else text.removeprefix("-")).replace("-", "−")


def interval(low: float, high: float, digits: int = 3) -> str:
    """[0.123, 0.264]."""
    return f"[{number(low, digits)}, {number(high, digits)}]"


def chance(x: float) -> str:
    """98%, of a share; never 0% or 100% where it is neither."""
    if x != x:
        return "–"
    percent = 100 * x
    if 0 < percent < 1:
        return "<1%"
    return ">99%" if 99 < percent < 100 else f"{percent:.0f}%"


def p_text(p: float) -> str:
    """0.0123, or that it is below 0.0001."""
    return "–" if p != p else "<0.0001" if p < 1e-4 else f"{p:.4f}"


def strong(name: str) -> Markup:
    """A name, escaped, apart from the words around it whatever its direction of writing, and in bold."""
    return Markup("<bdi class='name'>{}</bdi>").format(in_a_line(name, LETTERS))


def listed(items: Sequence[str | Markup], most: int = 5, word: str = "and") -> Markup:
    """ "a, b and c", escaped; "a, b and 4 more" where there are many."""
    shown = list(items[:most])
    if len(items) > most:
        shown.append(f"{len(items) - most} more")
        word = "and"
    if len(shown) == 1:
        return escape(shown[0])
    return Markup("{} {} {}").format(Markup(", ").join(map(escape, shown[:-1])), word, shown[-1])
