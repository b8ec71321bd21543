"""images/shown.json: the pictures that the page shows, before and after; chosen once all scores are there.

Of every concept the largest changes of the target's score, and others at random, alternate. Their pictures are made again
where they were not kept, as long as that is few.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cpi_jax.analysis.complete import CompletePart
from cpi_jax.analysis.groups import groups_of
from cpi_jax.analysis.real_images import say
from cpi_jax.analysis.single_pictures import dealings
from cpi_jax.analysis.validity import concepts_of_rows
from cpi_jax.classifiers.named import DETECTOR
from cpi_jax.files.writing import write_atomically
from cpi_jax.plan.describe import describe_values, describe_variants, separator_of, stored_ids
from cpi_jax.plan.hashes import find_codes
from cpi_jax.statistics.dealing import Dealing
from cpi_jax.statistics.local_changes import decisions, flips, logits_of_classes, measure_rows
from cpi_jax.store.store import encode_image
from cpi_jax.study import Study
from cpi_jax.wording import counted

SHARE, FEWEST = 0.01, 48  # of the study's images that are made again, and how many are in any case
MOST_PAIRS = 120
LARGEST, RANDOM = "largest change", "random"


@dataclasses.dataclass(frozen=True)
class Pair:
    """A picture before and after a change: feature, example, both variants of the part's plan, and why it is shown."""

    feature: int
    example: int
    before: int
    after: int
    value: int
    choice: str


def write_shown(
    study: Study,
    name: str,
    part: CompletePart,
    scores: Mapping[str, np.ndarray],
    real: Mapping[str, np.ndarray],
    folder: Path,
) -> None:
    """Chooses pictures, makes those that are not there, and writes images/shown.json; without where pictures are unwanted.

    Args:
      study: pictures are made in its process alone: not of a study that is read, or not whole.
      name: of the target.
      part: of it.
      scores: its logits [D, V, C] by scorer.
      real: logits [N, C] of its real images by scorer, where they are known.
      folder: of the results.
    """
    file, wanted = folder / "images" / "shown.json", study.settings.output.report_images
    if wanted == "none":
        file.unlink(missing_ok=True)
        return
    (folder / "images").mkdir(exist_ok=True)
    rows = study.scores.rows[find_codes(part.plan.codes, study.plan.codes)]
    kept = np.isin(part.plan.variants.example, _kept_examples(study, part))
    budget = max(FEWEST, round(SHARE * study.num_images))

    def missing_of(pairs: list[Pair]) -> list[int]:
        chosen = sorted({variant for pair in pairs for variant in (pair.before, pair.after)})
        return [v for v in chosen if not (folder / "images" / f"variant_{rows[v]}.png").exists()]

    pairs = _choose(part, scores[name], study, kept, budget) if part.unfinished is None else []
    missing, among = missing_of(pairs), "all"
    if not pairs or (missing and study.store.readonly):
        pairs, among = _choose(part, scores[name], study, kept, 0), "kept"
        lost = set(missing_of(pairs))
        pairs, missing = [pair for pair in pairs if not lost & {pair.before, pair.after}], []
    if missing:
        say(f"making {counted(len(missing), 'picture')} again for the report")
        variants = find_codes(part.plan.codes[missing], study.plan.codes)
        for variant, image in zip(missing, study.batch_scorer.paint(variants)):
            write_atomically(folder / "images" / f"variant_{rows[variant]}.png", encode_image(image, "png"))
    if wanted == "all" and part.examples.images is not None:
        for pair in pairs:
            path = folder / "images" / f"real_{rows[pair.before]}.png"
            if not path.exists():
                write_atomically(path, encode_image(part.examples.images[pair.example], "png"))
    content = {
        "chosen_among": among,
        "pairs": list(_describe(study, name, part, scores, real, pairs, rows)),
    }
    write_atomically(file, json.dumps(content, indent=1))


def _kept_examples(study: Study, part: CompletePart) -> np.ndarray:
    """Indices, in the part, of the examples whose pictures were kept while they were made."""
    return np.flatnonzero(np.isin(part.rows, study.sampled_examples))


def _choose(part: CompletePart, target: np.ndarray, study: Study, kept: np.ndarray, budget: int) -> list[Pair]:
    """Pairs whose pictures were kept, or can be made again within the budget; the concepts take turns.

    Args:
      part: of the study.
      target: its logits [D, V, C] by the target.
      study: which one.
      kept: variants whose pictures were kept, bool [V].
      budget: of pictures to make again; with 0 the choice is among the kept ones.
    """
    turns = [
        _candidates(
            f, dealing, np.asarray(part.examples.labels), target[:1], study.settings.seed, None if budget else kept
        )
        for f, dealing in dealings(part.plan, part.examples, study.settings)
    ]
    chosen, new = [], set()
    while turns and len(chosen) < MOST_PAIRS:
        for turn in list(turns):
            pair = next(turn, None)
            needed = set() if pair is None else {v for v in (pair.before, pair.after) if not kept[v]} - new
            if pair is None or len(new) + len(needed) > budget:
                turns.remove(turn)
                continue
            new |= needed
            chosen.append(pair)
    return chosen[:MOST_PAIRS]


def _candidates(
    f: int, dealing: Dealing, labels: np.ndarray, target: np.ndarray, seed: int, among: np.ndarray | None
) -> Iterator[Pair]:
    """Of one feature the pair with the largest change, one at random, the second largest, ...; each once.

    Args:
      f: the feature's index.
      dealing: what permuting it gives each example.
      labels: of the examples.
      target: logits [1, V, C] of the first draw, whose pictures are shown.
      seed: of what is random.
      among: variants to choose from, bool [V]; None for all.
    """
    i, m = np.nonzero(dealing.changed)
    after, first = np.unique(dealing.rows[i, m], return_index=True)
    i, value = i[first], dealing.values[i, m][first]
    if among is not None:
        after, i, value = (x[among[after]] for x in (after, i, value))
    before = dealing.baseline[i]
    measured = measure_rows(target, np.concatenate([before, after]), np.concatenate([labels[i], labels[i]]))
    of_pictures = measured.get("score", measured["log_loss"])[0]
    size = np.abs(of_pictures[len(after) :] - of_pictures[: len(after)])
    orders = np.argsort(-size, kind="stable"), np.random.default_rng([seed, f]).permutation(len(after))
    seen: set[int] = set()
    for pair in zip(*(order.tolist() for order in orders)):
        for k, choice in zip(pair, (LARGEST, RANDOM)):
            if k not in seen:
                seen.add(k)
                yield Pair(f, int(i[k]), int(before[k]), int(after[k]), int(value[k]), choice)


def _describe(
    study: Study,
    name: str,
    part: CompletePart,
    scores: Mapping[str, np.ndarray],
    real: Mapping[str, np.ndarray],
    pairs: list[Pair],
    rows: np.ndarray,
) -> Iterable[dict[str, Any]]:
    """What the page says of each pair."""
    if not pairs:
        return
    plan, examples = part.plan, part.examples
    before, after = ([getattr(pair, side) for pair in pairs] for side in ("before", "after"))
    captions = [
        describe_variants(plan, examples, study.settings, np.asarray(of))["caption"].to_pylist()
        for of in (before, after)
    ]
    of_target = scores[name][0]
    several = np.asarray(examples.labels).ndim == 2
    decided = decisions(scores[name][:1], np.asarray(examples.labels))[0]
    flipped = flips(decided[after], decided[before], several)
    says, slots = concepts_of_rows(plan, examples)
    ids, separator = stored_ids(examples.ids).to_pylist(), separator_of(examples, study.settings)
    values = {pair.feature: describe_values(plan, pair.feature, separator) for pair in pairs}
    column = study.settings.statistics.subgroups
    groups, which = groups_of(examples, column) if column else ([], np.zeros(len(examples), int))
    for n, pair in enumerate(pairs):
        own = values[pair.feature][int(plan.values[pair.example, pair.feature])]
        value = values[pair.feature][pair.value]
        yield {
            "concept": plan.names[pair.feature],
            "example": str(ids[pair.example]),
            "choice": pair.choice,
            "direction": "changes" if own and value else "appears" if value else "disappears",
            "own": own,
            "value": value,
            "caption_before": captions[0][n],
            "caption_after": captions[1][n],
            "before": f"variant_{rows[pair.before]}.png",
            "after": f"variant_{rows[pair.after]}.png",
            "real": f"real_{rows[pair.before]}.png",
            "subgroup": groups[which[pair.example]] if groups else "",
            "flips": bool(flipped[n]),
            **_scores(of_target, real.get(name), np.asarray(examples.labels), decided, pair),
            **_detected(scores.get(DETECTOR), examples.concept_names, says, slots, plan, pair),
        }


def _scores(
    target: np.ndarray, real: np.ndarray | None, labels: np.ndarray, decided: np.ndarray, pair: Pair
) -> dict[str, Any]:
    """Of which output the score is, and the probability of it before, after, and of the real picture."""
    several = labels.ndim == 2
    logits = logits_of_classes(target[[pair.before, pair.after]].astype(np.float64)) if (
        exclusive := target.shape[1] > 1 and not several
    ) else target[[pair.before, pair.after]].astype(np.float64)  # fmt: skip
    output = 0
    if exclusive:
        output = int(labels[pair.example])
    elif several:
        output = int(np.argmax(np.abs(logits[1] - logits[0])))
    of_real = None
    if real is not None and np.isfinite(real[pair.example]).all():
        own = real[pair.example].astype(np.float64)
        of_real = _probability((logits_of_classes(own[None])[0] if exclusive else own)[output])
    said = [decided[pair.before], decided[pair.after]]
    return {
        "several_labels": several,
        "output": output if target.shape[1] > 1 else None,
        "label": int(labels[pair.example]) if not several else int(labels[pair.example, output]),
        "logit_before": float(logits[0, output]),
        "logit_after": float(logits[1, output]),
        "score_before": _probability(logits[0, output]),
        "score_after": _probability(logits[1, output]),
        "score_real": of_real,
        "decision_before": int(said[0][output] if several else said[0]),
        "decision_after": int(said[1][output] if several else said[1]),
    }


def _detected(
    detector: np.ndarray | None, names: tuple[str, ...], says: np.ndarray, slots: list[int], plan: Any, pair: Pair
) -> dict[str, Any]:
    """What the detector sees of the concept, whether that is what the caption says, and what else it sees change."""
    own = [j for j, slot in enumerate(slots[: len(names)]) if slot in plan.features[pair.feature].slots]
    if detector is None or not own:
        return {"detected_before": None, "detected_after": None, "shows_caption": None, "others_changed": []}
    sees_before, sees_after = (detector[0, v, : len(names)] for v in (pair.before, pair.after))
    others = [j for j in range(len(names)) if j not in own and (sees_before[j] > 0) != (sees_after[j] > 0)]
    return {
        "detected_before": _probability(sees_before[own[0]]),
        "detected_after": _probability(sees_after[own[0]]),
        "shows_caption": all((sees_after[j] > 0) == (says[pair.after, j] > 0) for j in own),
        "others_changed": [names[j] for j in others],
    }


def _probability(logit: Any) -> float:
    return round(float(np.exp(-np.logaddexp(0, -float(logit)))), 4)
