"""From captions to the images that a study needs: features, variants, and where their scores will be."""

from __future__ import annotations

import dataclasses
import itertools
import zlib
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from absl import logging

from cpi_jax.captions.permutation import donors
from cpi_jax.captions.slots import CaptionSlots, Tokenizer, assemble, caption_lengths, check_lengths, make_slots
from cpi_jax.data.examples import Examples
from cpi_jax.errors import InputError, require_known
from cpi_jax.plan.coverage import Coverage, measure_coverage
from cpi_jax.plan.noise import noise_ids, noise_keys
from cpi_jax.plan.variants import (
    Lookup,
    Request,
    ShuffledLookup,
    Variants,
    distinct_rows,
    feature_values,
    plan_rows,
    request_shuffles,
    request_values,
    take_variants,
)
from cpi_jax.settings import Settings
from cpi_jax.validation.score_table import validate_labels
from cpi_jax.wording import NAME, in_a_line


@dataclasses.dataclass(frozen=True)
class Feature:
    """What is permuted as a unit.

    Attributes:
      name: what it is called.
      role: "concept", "group", "pair" (for an interaction only) or "control".
      slots: indices of its slots.
    """

    name: str
    role: str
    slots: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Plan:
    """Everything that follows from the captions: made before any image.

    With a control, slots and texts have one slot more, and one row more that is not an example: the donor of its phrase.

    Attributes:
      texts: the slots' texts.
      slots: the same, tokenised.
      features: what is permuted, F of them.
      masks: slots of each feature, bool [F, K].
      skipped: concepts that never vary in these captions.
      interactions: (a, b, both) indices of features.
      variants: the V captions to generate.
      baseline: row of each example's own caption, int32 [N].
      lookups: where their scores are, with the features that each lookup is about.
      strata: of every example and feature, int32 [N, F]; None for plain permutation.
      coverage: what permuting does to the captions of some of the examples, bool [N] -> `Coverage`.
      codes: of each variant, uint64 [V]: the same example with the same caption has the same code in any plan.
      ids: the examples' ids as the noise reads them, uint32 [N] or [N, 2].
    """

    texts: Sequence[tuple[str, ...]]
    slots: CaptionSlots
    features: tuple[Feature, ...]
    masks: jax.Array
    skipped: tuple[str, ...]
    interactions: tuple[tuple[int, int, int], ...]
    variants: Variants
    baseline: jax.Array
    lookups: tuple[tuple[Lookup | ShuffledLookup, tuple[int, ...]], ...]
    strata: jax.Array | None
    coverage: Callable[[np.ndarray], Coverage]
    codes: np.ndarray
    ids: np.ndarray

    @property
    def names(self) -> tuple[str, ...]:
        """What the features are called."""
        return tuple(part.name for part in self.features)

    @property
    def num_variants(self) -> int:
        """Images per draw."""
        return len(self.codes)

    def captions(self, rows: np.ndarray) -> jax.Array:
        """Captions of some variants as the text encoder reads them, int32 [B, L]."""
        return _captions(self.slots, self.masks, jax.tree.map(lambda x: x[rows], self.variants))


_MOST_IMPOSSIBLE = 0.1  # of a feature's permuted captions


def make_plan(examples: Examples, tokenizer: Tokenizer, length: int, settings: Settings) -> Plan:
    """Tokenises the captions and lists the images that the study needs.

    Args:
      examples: the study's data.
      tokenizer: the generator's.
      length: tokens that its text encoder reads.
      settings: of the study.

    Raises:
      InputError: for captions that cannot be used, unknown concepts or columns, labels of one class, nothing that varies,
        too many interactions.
    """
    if len(examples) == 0:
        raise InputError("the data set has no examples")
    texts, order = [tuple(row) for row in examples.slots], examples.order
    num_slots = len(examples.slot_names)
    if settings.control:
        texts = [(*row, "") for row in texts] + [
            ("",) * num_slots + (settings.control if order is None else f" {settings.control}",)
        ]
        if order is not None:
            order = np.pad(np.pad(order, ((0, 0), (0, 1)), constant_values=num_slots), ((0, 1), (0, 0)), mode="edge")
    slots = make_slots(
        tokenizer, texts, length=length, separator=separator_of(examples, settings), empty=settings.empty, order=order,
        names=[*examples.ids, repr(settings.control)],
    )  # fmt: skip
    plan = _plan(examples, texts, slots, settings)
    ranked = sum(part.role in ("concept", "group") for part in plan.features)
    if settings.statistics.stop_top_k >= ranked:
        raise InputError(
            f"stop_top_k must be below the {ranked} concepts that are ranked, not {settings.statistics.stop_top_k}"
        )
    if plan.skipped:
        logging.warning("skipped, since every caption says the same of it: %s", ", ".join(plan.skipped))
    return plan


def separator_of(examples: Examples, settings: Settings) -> str:
    """What stands between two slots of a caption; nothing in free text."""
    return settings.separator if examples.order is None else ""


def plan_part(plan: Plan, examples: Examples, which: np.ndarray, settings: Settings) -> Plan:
    """The plan of some of a plan's examples, as if there were no others; see `make_plan`.

    Args:
      plan: of all.
      examples: the chosen ones.
      which: whether each of the plan's examples is chosen, bool [N].
      settings: of the plan.
    """
    rows = np.concatenate([which, np.ones(len(plan.texts) - len(which), bool)])  # the control's row stays
    texts = [text for text, chosen in zip(plan.texts, rows) if chosen]
    kept = np.flatnonzero(rows)
    order = None if plan.slots.order is None else plan.slots.order[kept]
    return _plan(examples, texts, plan.slots.replace(tokens=plan.slots.tokens[kept], order=order), settings)


def _plan(examples: Examples, texts: Sequence[tuple[str, ...]], slots: CaptionSlots, settings: Settings) -> Plan:
    validate_labels(examples.labels, None)
    n = len(examples)
    tokens = np.asarray(slots.tokens)
    own = tokens[:n]
    parts, skipped, pairs = _choose_features(examples, own, settings)
    masks = np.zeros((len(parts), tokens.shape[1]), bool)
    for mask, part in zip(masks, parts):
        mask[list(part.slots)] = True
    columns = [feature_values(own, mask) for mask in masks]
    strata = _strata(examples, own, parts, settings)
    ids = noise_ids(examples.ids)

    counts = [len(first) for _, first in columns]
    is_control = [part.role == "control" for part in parts]
    few = [f for f in range(len(parts)) if counts[f] <= settings.max_values and not is_control[f]]
    many = [f for f in range(len(parts)) if counts[f] > settings.max_values]
    requests, made = [], []

    def restrict(features):
        return None if strata is None else strata[:, features]

    if few:
        chosen = [columns[f] for f in few]
        requests.append(request_values(chosen, few, restrict(few)))
        made.append((Lookup, np.stack([v for v, _ in chosen], axis=1)))
    if many:
        planned = np.stack([_plan_shuffles(parts[f].name, strata, f, n, settings) for f in many], axis=1)
        requests.append(request_shuffles(planned, [columns[f] for f in many], many))
        made.append((ShuffledLookup, planned))
    if settings.control:
        f = len(parts) - 1
        said = np.asarray(_coin_flips(settings.seed, ids))
        columns[f] = (said, np.array([0, n]))
        phrase = np.stack([np.arange(n), np.full(n, n)], axis=1).astype(np.int32)[:, None]
        requests.append(Request((f,), phrase, np.broadcast_to(np.arange(2, dtype=np.int32), phrase.shape)))
        made.append((Lookup, said[:, None]))
    variants, codes, baseline, rows = plan_rows(tokens, masks, examples.ids, requests, slots.order)
    lookups = []
    for request, (kind, column), row in zip(requests, made, rows):
        before = row[np.arange(n), 0, column[:, 0]] if is_control[request.features[0]] else baseline
        arrays = (jnp.asarray(x, jnp.int32) for x in (before, row, column))
        lookups.append((kind(*arrays), tuple(request.features)))
    content = np.stack([distinct_rows(own[:, k])[0] for k in range(own.shape[1])], axis=1)
    ordinary = [request for request in requests if not is_control[request.features[0]]]

    def coverage(among: np.ndarray) -> Coverage:
        reach = measure_coverage(content, masks, columns, ordinary, strata, among)
        if settings.control:  # a random half of the captions has the phrase
            share, count = said[among].mean(), among.sum()
            reach.share_changed[-1], reach.num_changed[-1] = 2 * share * (1 - share) * count / max(count - 1, 1), count
        return reach

    _check_variants(slots, masks, variants, examples)
    return Plan(
        texts=texts,
        slots=slots,
        features=parts,
        masks=jnp.asarray(masks),
        skipped=skipped,
        interactions=pairs,
        variants=jax.tree.map(np.asarray, variants),
        baseline=jnp.asarray(baseline),
        lookups=tuple(lookups),
        strata=None if strata is None else jnp.asarray(strata, jnp.int32),
        coverage=coverage,
        codes=codes,
        ids=ids,
    )


def _choose_features(
    examples: Examples, tokens: np.ndarray, settings: Settings
) -> tuple[tuple[Feature, ...], tuple[str, ...], tuple[tuple[int, int, int], ...]]:
    """The features that vary, the concepts that do not, and which features make up each interaction."""
    known = tuple(examples.slot_names)
    chosen = tuple(dict.fromkeys(settings.concepts or examples.permutable))
    pairs = settings.interactions
    for name in (*chosen, *(n for group in settings.groups for n in group)):
        require_known(name, "concept", examples.permutable)
    varies = dict(zip(known, (tokens != tokens[:1]).any((0, 2))))
    names = [name for name in chosen if varies[name]]
    skipped = tuple(name for name in chosen if not varies[name])
    if not names:
        raise InputError("none of the chosen concepts varies over these captions, so there is nothing to permute")
    pairs = tuple(itertools.combinations(names, 2)) if tuple(pairs) == ("all",) else tuple(dict.fromkeys(pairs))
    if len(pairs) > settings.max_interactions:
        raise InputError(
            f"{len(pairs)} interactions are asked for and the plan holds {settings.max_interactions}: name the pairs that "
            "matter, or raise max_interactions"
        )
    conditions = set(examples.permutable if tuple(settings.condition_on) == ("all",) else settings.condition_on)
    for pair in pairs:
        if len(pair) == 2 and conditions & set(pair):
            reason = "needs both to be permuted freely: leave them out of condition_on"
            raise InputError(f"the interaction of {pair[0]} and {pair[1]} {reason}")
        if len(pair) != 2 or pair[0] == pair[1]:
            raise InputError(f"an interaction is of two concepts, not of {', '.join(pair)}")
        for name in pair:
            require_known(name, "concept to interact", names)

    def joint(of: Sequence[str], role: str) -> Feature:
        return Feature(" + ".join(of), role, tuple(sorted(known.index(name) for name in set(of))))

    parts = [joint((name,), "concept") for name in names]
    for of, role in [(group, "group") for group in settings.groups] + [(pair, "pair") for pair in pairs]:
        if joint(of, role).slots not in [part.slots for part in parts]:
            parts.append(joint(of, role))
    slots = [part.slots for part in parts]
    triples = tuple((names.index(a), names.index(b), slots.index(joint((a, b), "pair").slots)) for a, b in pairs)
    if settings.control:
        parts.append(Feature(f"control: {settings.control}", "control", (len(known),)))
    _refuse_same_names([part.name for part in parts], "a group, a pair or the control")
    _refuse_same_names([f"{a} x {b}" for a, b in pairs], "an interaction")
    return tuple(parts), skipped, triples


def _refuse_same_names(names: Sequence[str], kind: str) -> None:
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"{kind} would be called {name!r}, as another feature is: rename a concept")


def _strata(examples: Examples, tokens: np.ndarray, parts: Sequence[Feature], settings: Settings) -> np.ndarray | None:
    """Groups within which each feature is permuted, int32 [N, F]; None where everybody is one group.

    Raises:
      InputError: for a name that is neither concept nor column, or strata in which nothing can be permuted.
    """
    if not settings.condition_on:
        return None
    names = tuple(settings.condition_on)
    if names == ("all",):
        names = examples.permutable
    for name in names:
        require_known(name, "concept or column", (*examples.permutable, *examples.columns))
    strata = np.zeros((len(examples), len(parts)), np.int32)
    for f, part in enumerate(parts):
        if part.role == "control":
            continue
        keys = []
        for name in names:
            if name in examples.slot_names:
                k = examples.slot_names.index(name)
                content = tokens[:, k] if k not in part.slots else np.zeros((len(tokens), 1), int)
            else:
                content = examples.contents_of(name)[1].reshape(-1, 1)
            keys.append(content)
        strata[:, f], _ = distinct_rows(np.concatenate(keys, axis=1))
        if np.bincount(strata[:, f]).max() < 2:
            what = f"no two examples agree in {', '.join(names)}"
            raise InputError(f"{what}, so {part.name} cannot be permuted among such: condition on less")
    return strata


def _plan_shuffles(name: str, strata: np.ndarray | None, f: int, n: int, settings: Settings) -> np.ndarray:
    """Donors of the shuffles of a many-valued feature, int32 [N, R]; a feature's shuffles follow from its name."""
    key = jax.random.fold_in(jax.random.key(settings.seed + 2), zlib.crc32(name.encode()))
    stratum = jnp.zeros(n, jnp.int32) if strata is None else jnp.asarray(strata[:, f])
    return np.asarray(jax.vmap(lambda k: donors(k, stratum), out_axes=1)(jax.random.split(key, settings.num_shuffles)))


def _coin_flips(seed: int, ids: np.ndarray) -> jax.Array:
    """0 or 1 for every example, by its id, int32 [N]."""
    keys = noise_keys(jax.random.key(seed + 3), 0, jnp.asarray(ids))
    return jax.vmap(jax.random.bernoulli)(keys).astype(jnp.int32)


def warn_of_coverage(plan: Plan) -> tuple[str, ...]:
    """A sentence where many permuted captions hold two contents that the data never do together; none for free text.

    A combination of all slots that no caption has is no reason: of six concepts there are 64, and of free captions each is
    one of a kind.
    """
    if plan.slots.order is not None:
        return ()
    reach = plan.coverage(np.ones(len(plan.ids), bool))
    found = [
        f"{in_a_line(part.name, NAME)} {impossible:,} of {changed:,}"
        for part, changed, impossible in zip(plan.features, reach.num_changed, reach.num_impossible)
        if impossible > _MOST_IMPOSSIBLE * changed
    ]
    if not found:
        return ()
    return (
        "many permuted captions hold two things that no caption of the data holds together, so that what is said of them "
        f"is extrapolated: {', '.join(found)}; condition_on permutes among examples that agree",
    )


def _check_variants(slots: CaptionSlots, masks: np.ndarray, variants: Variants, examples: Examples) -> None:
    """Refuses captions that the text encoder would cut."""
    sizes = (slots.tokens >= 0).sum(-1)
    lengths = caption_lengths(slots, np.asarray(take_variants(sizes, jnp.asarray(masks), variants)))

    def which(v: int) -> str:
        permuted = "a permuted" if variants.feature[v] >= 0 else "the"
        return f"{permuted} caption of example {examples.ids[int(variants.example[v])]}"

    check_lengths(lengths, slots.length, which)


@jax.jit
def _captions(slots: CaptionSlots, masks: jax.Array, variants: Variants) -> jax.Array:
    order = None if slots.order is None else slots.order[variants.example]
    return assemble(slots.replace(tokens=take_variants(slots.tokens, masks, variants), order=order))


def describe_variants(plan: Plan, examples: Examples, settings: Settings, rows: np.ndarray | None = None) -> pa.Table:
    """The table of variants for people: example id, feature, value text, caption; one row per variant.

    Args:
      plan: of the study.
      examples: its data.
      settings: of the study.
      rows: which variants; all by default.
    """
    rows = np.arange(plan.num_variants) if rows is None else rows
    feature, example, donor = (x[rows] for x in (plan.variants.feature, plan.variants.example, plan.variants.donor))
    permuted = np.asarray(plan.masks)[feature] & (feature >= 0)[:, None]
    nothing, separator = pa.scalar(None, pa.string()), separator_of(examples, settings)
    said, changed = [], []
    for k, texts in enumerate(zip(*plan.texts)):
        texts = [separator + text if text else None for text in texts]
        texts = pa.array(texts, pa.string()).dictionary_encode()  # the type said, where a concept is always absent
        said.append(texts.take(pa.array(np.where(permuted[:, k], donor, example))).dictionary_decode())
        changed.append(pc.if_else(pa.array(permuted[:, k]), said[-1], nothing))

    def join(columns):  # every text brings its separator, and the first one is cut off
        joined = pc.binary_join_element_wise(*columns, "", null_handling="replace", null_replacement="")
        return pc.utf8_trim_whitespace(pc.utf8_slice_codeunits(joined, len(separator)))

    if plan.slots.order is not None:
        columns = np.stack([column.to_numpy(zero_copy_only=False) for column in said], axis=1)
        columns = np.take_along_axis(columns, np.asarray(plan.slots.order)[example], axis=1)
        said = [pa.array(column, pa.string()) for column in columns.T]
    caption = join(said)
    names = pa.array([*plan.names, ""]).dictionary_encode()  # -1 is the last one
    return pa.table(
        {
            "example_id": stored_ids(examples.ids).take(pa.array(example)),
            "feature": names.take(pa.array(feature % len(names))).dictionary_decode(),
            "value": join(changed),
            "caption": pc.if_else(pc.equal(caption, ""), settings.empty, caption),
        }
    )


def stored_ids(ids: np.ndarray) -> pa.Array:
    """Ids as the table of variants keeps them: whole numbers of 64 bits as such, anything else as text."""
    values = np.asarray(ids).tolist()
    if all(isinstance(i, int) and not isinstance(i, bool) for i in values):
        for kind, low, high in ((pa.int64(), -(2**63), 2**63), (pa.uint64(), 0, 2**64)):
            if all(low <= i < high for i in values):
                return pa.array(values, kind)
    return pa.array(list(map(str, values)), pa.string())
