"""Whether the answer is to be believed: each check in a sentence, and what to do about it."""

from __future__ import annotations

import dataclasses
from typing import Any

import pandas as pd
from markupsafe import Markup

from cpi_jax.report.page.numbers import interval, listed, number, strong
from cpi_jax.report.page.reading import Results
from cpi_jax.wording import Number, counted, signed

ORDER = ("fail", "inconclusive", "not assessed", "pass")
WORDS = {
    "pass": "holds",
    "fail": "fails",
    "inconclusive": "not settled",
    "not assessed": "not looked at",
    "note": "to know",
}
_MOST = 4  # comparisons that a sentence names
_FAR = " That rests on differences measured with few examples: add some, and look again."


@dataclasses.dataclass(frozen=True)
class Check:
    """One line of the section.

    Attributes:
      outcome: "pass", "fail", "inconclusive", "not assessed", or "note" of what is no check.
      question: what was asked, in words.
      found: what was measured.
      to_do: what to do about it; empty where there is nothing.
    """

    outcome: str
    question: str
    found: Markup
    to_do: tuple[str, ...] = ()

    @property
    def word(self) -> str:
        """The outcome as it is read."""
        return WORDS[self.outcome]


def find_checks(results: Results) -> list[Check]:
    """The checks of a study, what the data alone tell, and its warnings."""
    checks = results.checks
    generation = checks.loc[checks["check"] == "effective generation"]
    independence = checks.loc[checks["check"] == "independent permutation"]
    is_target = generation["concept"].str.startswith("target: ") if len(generation) else pd.Series([], dtype=bool)
    role = independence["role"] if "role" in independence else pd.Series([], dtype=object)
    out = [
        _same_work(generation.loc[is_target]),
        _draws_what_is_said(independence.loc[role == "permuted"]),
        _leaves_others_alone(independence.loc[role == "other"]),
        _is_seen(generation.loc[~is_target], "permuted" in checks),
    ]
    return [*out, *(Check("note", "Warning", Markup.escape(text)) for text in results.record["warnings"])]


def verdict(checks: list[Check]) -> tuple[str, str]:
    """Of all checks together: an outcome, and the sentence that says it."""
    outcomes = [check.outcome for check in checks if check.outcome != "note"]
    if "fail" in outcomes:
        return "fail", "Not all of it. A check failed: what rests on it is named below, with what to do."
    missing = outcomes.count("not assessed")
    if missing == len(outcomes):
        return "not assessed", "Nobody knows yet: none of the checks could be made. Below is what they need."
    if "pass" not in outcomes:
        few = "Nobody knows yet: no check failed, but there are too few examples to settle any."
        return "inconclusive", few + _not_made(missing)
    if "inconclusive" in outcomes:
        few = "In part: no check failed, but there are too few examples to settle all of them."
        return "inconclusive", few + _not_made(missing)
    if missing:
        return "not assessed", "In part: what was checked holds, but not everything could be checked."
    return "pass", "Yes, as far as it can be checked: every check holds."


def _not_made(count: int) -> str:
    return f" {count} could not be made." if count else ""


def _same_work(rows: pd.DataFrame) -> Check:
    question = "Does the classifier do on generated pictures what it does on real ones?"
    if rows.empty:
        found = Markup("There are no real pictures to compare with.")
        return Check("not assessed", question, found, ("Give the real pictures of the examples (data.image).",))
    worst: Any = _largest(rows, rows["lost"].abs())
    found = Markup("AUROC is {} on real pictures and {} on generated ones").format(
        number(worst.auroc_real), number(worst.auroc_generated)
    )
    if len(rows) > 1:
        found += Markup(" for {}, the output with the largest difference of {}").format(_name(worst), len(rows))
    return _check(rows, question, found)


def _draws_what_is_said(rows: pd.DataFrame) -> Check:
    question = "Do the pictures show what their captions say?"
    detector = Markup("The detector, a second model that tells which concepts a picture shows")
    if rows.empty:
        found = Markup("There was no detector: a second model that tells which concepts a picture shows.")
        return Check(
            "not assessed",
            question,
            found,
            ("Name a detector (detector.path): without one nobody knows whether the pictures show what they should.",),
        )
    failed = rows.loc[rows["verdict"] == "fail"]
    worst: Any = _largest(rows, -rows["auroc_permuted_labels"])
    if len(failed):
        names = listed([strong(name) for name in failed["concept"]], _MOST)
        found = Markup("{}, does not find {} as the captions say: AUROC {} at worst").format(
            detector, names, number(failed["auroc_permuted_labels"].min())
        )
    else:
        found = Markup("{}, tells pictures whose captions name a concept from the others: AUROC {} at worst, for {}")
        found = found.format(detector, number(worst.auroc_permuted_labels), strong(worst.concept))
    return _check(rows, question, found)


def _leaves_others_alone(rows: pd.DataFrame) -> Check:
    question = "Does changing one concept leave the others as they were?"
    if rows.empty:
        return Check("not assessed", question, Markup("There was no detector to look, or only one concept."))
    failed = rows.loc[rows["verdict"] == "fail"]
    if len(failed):
        pairs = [
            Markup("changing {} also changes {} (what the detector finds of it: AUROC {} {})").format(
                strong(row.permuted),
                strong(row.concept),
                signed(row.change, 3).replace("-", "−"),
                interval(row.change - 1.96 * row.change_error, row.change + 1.96 * row.change_error),
            )
            for row in failed.itertuples()
        ]
        found = Markup("No: {}. That is {} of {}").format(listed(pairs, _MOST), len(failed), counted(len(rows), "pair"))
    else:
        text = "How well the detector finds a concept changes by {} of AUROC at most when another one is shuffled ({})"
        found = Markup(text).format(number(rows["change"].abs().max()), counted(len(rows), "pair"))
    return _check(rows, question, found)


def _is_seen(rows: pd.DataFrame, has_detector: bool) -> Check:
    question = "Can the detector, which looks for the concepts, be relied on for generated pictures?"
    if rows.empty:
        why = "There are no real pictures to try it on." if has_detector else "There was no detector."
        return Check("not assessed", question, Markup(why))
    worst: Any = _largest(rows, rows["lost"])
    found = Markup(
        {
            "pass": "It finds the concepts in them as well as in real ones: at worst with AUROC {} instead of {}, for {}",
            "fail": "It does not find the concepts in them as it does in real ones: AUROC {} instead of {}, for {}",
        }.get(_worst(rows), "How well it finds the concepts in them is open: at worst AUROC {} instead of {}, for {}")
    )
    return _check(rows, question, found.format(number(worst.auroc_generated), number(worst.auroc_real), _name(worst)))


def _check(rows: pd.DataFrame, question: str, found: Markup) -> Check:
    """With how many comparisons are open or could not be made, where others could."""
    outcome = _worst(rows)
    if len(rows) > 1:
        for verdict, what in (("inconclusive", "not settled"), ("not assessed", "not to be looked at in these data")):
            if n := int((rows["verdict"] == verdict).sum()):
                found += Markup("; {} of {} {}").format(n, len(rows), what)
    if outcome == "not assessed":
        found = Markup("These data do not tell.")
        return Check(outcome, question, found, _advice(rows))
    return Check(outcome, question, found + ".", _advice(rows))


def _largest(rows: pd.DataFrame, by: pd.Series) -> Any:
    return rows.loc[by.idxmax()] if by.notna().any() else rows.iloc[0]


def _name(row: Any) -> Markup:
    return strong(row["concept"].partition(": ")[2])


def _worst(rows: pd.DataFrame) -> str:
    """Of several comparisons; what could not be looked at counts where it is all there is."""
    there = set(rows["verdict"])
    return next((outcome for outcome in ORDER[:2] if outcome in there), "pass" if "pass" in there else "not assessed")


def _advice(rows: pd.DataFrame) -> tuple[str, ...]:
    """What to do about what failed; of what is not settled, about the comparison that needs most examples."""
    if "advice" not in rows:
        return ()
    failed = rows.loc[(rows["verdict"] == "fail") & (rows["advice"] != ""), "advice"]
    if len(failed):
        return tuple(_sentence(text) for text in dict.fromkeys(failed))[:_MOST]
    undecided = rows.loc[(rows["verdict"] == "inconclusive") & (rows["needed"] > 0)]
    if len(undecided):
        return (f"Use more examples: about {_rounded(undecided['needed'].max())} would settle this.",)
    others = rows.loc[rows["advice"] != "", "advice"]
    return tuple(_sentence(text) for text in dict.fromkeys(others))[:_MOST]


def _rounded(count: Number) -> str:
    """To two digits: it is known no better."""
    return f"{float(f'{count:.2g}'):,.0f}"


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def next_steps(results: Results, checks: list[Check], has_pictures: bool) -> list[Markup]:
    """What to do now, the most urgent first."""
    steps = []
    if results.content["unfinished"]:
        steps.append(Markup("Let the study finish: the same command goes on where it ended."))
    failed = [text for check in checks if check.outcome == "fail" for text in check.to_do]
    steps += [Markup.escape(text) for text in dict.fromkeys(failed)]
    rows = results.checks
    undecided = rows.loc[(rows["verdict"] == "inconclusive") & (rows["needed"] > 0)] if "needed" in rows else rows[:0]
    if len(undecided):
        most, now = undecided["needed"].max(), results.provenance["examples"]
        steps.append(
            Markup("Add examples to the same study: about {} would "
                "settle the checks that are open; there are {} now.{}").format(
                _rounded(most), f"{now:,}", _FAR if most > 10 * now else ""
            )
        )  # fmt: skip
    steps += [Markup.escape(text) for check in checks if check.outcome == "not assessed" for text in check.to_do]
    if any(check.outcome == "note" for check in checks):
        steps.append(Markup("Read the warnings among the checks below."))
    if has_pictures:
        steps.append(
            Markup("Look at the pictures below: do they show what the captions say, and nothing else that is new?")
        )
    if not failed:
        steps.append(
            Markup("Ask whether the classifier <em>should</em> rely on what it does: no number here answers that.")
        )
    return list(dict.fromkeys(steps))[:5]
