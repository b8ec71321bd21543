"""Plans: strata, pairs, many-valued slots, the control, and what permuting does to the captions."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from cpi_jax.data.examples import Examples
from cpi_jax.data.shapes import CONCEPTS
from cpi_jax.plan.coverage import measure_coverage, warn_of_coverage
from cpi_jax.plan.describe import describe_variants
from cpi_jax.plan.make_plan import make_plan
from cpi_jax.plan.variants import ShuffledLookup, take_variants
from cpi_jax.settings import Settings
from tests.painter import flat_settings, scenes

EXAMPLES = scenes(24)
PLACE = {"hospital": np.array(["a", "b", "b", "c"] * 6)}


def plan(tokenizer, examples=EXAMPLES, **settings):
    return make_plan(examples, tokenizer, 32, flat_settings(**settings))


def captions(made, examples=EXAMPLES, **settings):
    return describe_variants(made, examples, flat_settings(**settings)).to_pydict()


def test_conditional_permutation_plans_only_what_the_stratum_has(tokenizer):
    examples = dataclasses.replace(EXAMPLES, columns=PLACE)
    made = plan(tokenizer, examples, condition_on=("red circle", "hospital"), concepts=("red circle", "blue circle"))
    concepts, place = examples.concepts, PLACE["hospital"]
    ((lookup, _),) = made.lookups
    for i in range(24):
        # The concept itself is no condition on itself.
        for f, k, same in ((0, 0, place == place[i]), (1, 2, (place == place[i]) & (concepts[:, 0] == concepts[i, 0]))):
            values = set(np.asarray(lookup.values)[same, f].tolist())
            assert {v for v in range(2) if lookup.rows[i, f, v] >= 0} == values
            assert (np.asarray(made.strata)[:, f] == np.asarray(made.strata)[i, f]).tolist() == same.tolist()
            assert int(lookup.values[i, f]) in values and k in made.features[f].slots
    with pytest.raises(ValueError, match="did you mean 'hospital'"):
        plan(tokenizer, examples, condition_on=("hospitel",))
    alone = dataclasses.replace(EXAMPLES, columns={"id": np.arange(24)})
    with pytest.raises(ValueError, match="no two examples agree in id"):
        plan(tokenizer, alone, condition_on=("id",))


def test_pairs_and_groups(tokenizer):
    pair = ("red circle", "blue circle")
    made = plan(tokenizer, interactions=(pair,), groups=(("green circle", "red rectangle"),))
    roles = {feature.name: feature.role for feature in made.features}
    assert roles["red circle + blue circle"] == "pair" and roles["green circle + red rectangle"] == "group"
    ((a, b, both),) = made.interactions
    assert (made.names[a], made.names[b]) == pair and made.names[both] == "red circle + blue circle"
    assert made.num_variants == 24 * (1 + 6 + 1 + 1)
    assert len(plan(tokenizer, interactions=("all",)).interactions) == 15
    with pytest.raises(ValueError, match="15 interactions are asked for and the plan holds 14"):
        plan(tokenizer, interactions=("all",), max_interactions=14)
    with pytest.raises(ValueError, match="an interaction is of two concepts"):
        plan(tokenizer, interactions=(("red circle", "red circle"),))
    with pytest.raises(ValueError, match="leave them out of condition_on"):
        plan(tokenizer, interactions=(pair,), condition_on=("all",))
    with pytest.raises(ValueError, match="did you mean 'red circle'"):
        plan(tokenizer, interactions=(("red circl", "blue circle"),))


def test_the_control_leaves_other_captions_as_they_are(tokenizer):
    without, made = plan(tokenizer), plan(tokenizer, control="a photo")
    said = captions(made)
    plain = [c for c, f in zip(said["caption"], said["feature"]) if not f.startswith("control")]
    assert sorted(plain) == sorted(captions(without)["caption"])
    assert made.features[-1].role == "control" and made.num_variants == without.num_variants + 24
    lookup, features = made.lookups[-1]
    assert features == (6,)
    flips = np.asarray(lookup.values)[:, 0]
    assert 4 < flips.sum() < 20
    for i in range(24):
        own, other = (said["caption"][int(lookup.rows[i, 0, v])] for v in (flips[i], 1 - flips[i]))
        assert int(lookup.baseline[i]) == int(lookup.rows[i, 0, flips[i]])
        with_phrase, bare = (own, other) if flips[i] else (other, own)
        assert with_phrase == (f"{bare}, a photo" if EXAMPLES.concepts[i].any() else "a photo")
    np.testing.assert_array_equal(
        made.captions(np.asarray(made.baseline)), without.captions(np.asarray(without.baseline))
    )
    # An example's coin does not depend on who else is studied.
    few = dataclasses.replace(EXAMPLES, ids=EXAMPLES.ids[:9], slots=EXAMPLES.slots[:9], images=None, masks=None,
                              concepts=EXAMPLES.concepts[:9], labels=EXAMPLES.labels[:9])  # fmt: skip
    np.testing.assert_array_equal(
        np.asarray(plan(tokenizer, few, control="a photo").lookups[-1][0].values)[:, 0], flips[:9]
    )


def test_many_values_are_shuffled(tokenizer):
    """A slot of six values beside one of two, with at most five enumerated."""
    rng = np.random.default_rng(0)
    words = ("", "red", "green", "blue", "circle", "rectangle")
    column = rng.integers(0, 6, 30)
    other = rng.integers(0, 2, 30)
    slots = [(words[a], "1 red circle" if b else "") for a, b in zip(column, other)]
    concepts = np.stack([column > 0, other], axis=1).astype(np.int8)
    examples = Examples(np.arange(30), slots, ("word", "circle"), concepts, (np.arange(30) % 2).astype(np.int32))
    made = plan(tokenizer, examples, max_values=5, num_shuffles=4)
    (_, enumerated), (many, shuffled) = made.lookups
    assert enumerated == (1,) and shuffled == (0,) and isinstance(many, ShuffledLookup)
    donors = np.asarray(many.donors)[:, 0]
    assert donors.shape == (30, 4) and (np.sort(donors, axis=0) == np.arange(30)[:, None]).all()
    said = captions(made, examples)
    for i in range(30):
        for r in range(4):
            words_of_row = said["caption"][int(many.rows[i, 0, r])]
            expected = ", ".join(t for t in (slots[donors[i, r]][0], slots[i][1]) if t) or "an empty scene"
            assert words_of_row == expected
    assert len(set(zip(said["example_id"], said["caption"]))) == made.num_variants
    # The shuffles follow from the seed and the slot's name; within strata they stay there.
    again = plan(tokenizer, examples, max_values=5, num_shuffles=4)
    np.testing.assert_array_equal(np.asarray(again.lookups[1][0].donors)[:, 0], donors)
    within = plan(tokenizer, examples, max_values=5, num_shuffles=4, condition_on=("circle",)).lookups[1][0]
    assert (other[np.asarray(within.donors)[:, 0]] == other[:, None]).all()


def test_coverage_by_brute_force(tokenizer):
    made = plan(tokenizer)
    coverage = measure_coverage(made)
    own = EXAMPLES.concepts
    seen = {tuple(row) for row in own}
    rows = np.asarray(take_variants(jnp.asarray(own), made.masks, made.variants))
    feature, example = np.asarray(made.variants.feature), np.asarray(made.variants.example)
    for f in range(6):
        changed = rows[feature == f]
        assert coverage.num_changed[f] == len(changed) == 24
        assert coverage.num_new[f] == sum(tuple(row) not in seen for row in changed)
        pairs = 0
        for row in changed:
            pairs += any(not ((own[:, f] == row[f]) & (own[:, k] == row[k])).any() for k in range(6) if k != f)
        assert coverage.num_impossible[f] == pairs
        p = own[:, f].sum()
        assert abs(coverage.share_changed[f] - 2 * p * (24 - p) / (24 * 23)) < 1e-9
    assert (coverage.share_alone == 0).all() and len(example)
    # Of a subgroup: its own donors only.
    some = np.arange(24) < 9
    few = measure_coverage(made, some)
    for f in range(6):
        p = own[some, f].sum()
        assert abs(few.share_changed[f] - 2 * p * (9 - p) / (9 * 8)) < 1e-9
        assert few.num_changed[f] == (9 if 0 < p < 9 else 0)


def test_impossible_pairs_are_warned_of(tokenizer):
    """Two concepts that exclude each other: setting one where the other is makes what never occurs."""
    concepts = np.zeros((20, 6), np.int8)
    concepts[:10, 0], concepts[10:, 1] = 1, 1
    slots = [("1 red circle" if a else "", "1 green circle" if b else "", "", "", "", "") for a, b in concepts[:, :2]]
    examples = Examples(np.arange(20), slots, CONCEPTS, concepts, (np.arange(20) % 2).astype(np.int32))
    coverage = measure_coverage(plan(tokenizer, examples))
    np.testing.assert_array_equal(coverage.num_impossible, [20, 20])
    (warning,) = warn_of_coverage(plan(tokenizer, examples))
    assert "is extrapolated: red circle 20 of 20, green circle 20 of 20; condition_on" in warning
    assert not warn_of_coverage(
        plan(tokenizer, scenes(30))
    )  # many of whose permuted captions are new, but none impossible
    free = [tuple(f" {text}" if text else "" for text in row) for row in slots]
    order = np.tile(np.arange(6), (20, 1))
    assert not warn_of_coverage(plan(tokenizer, dataclasses.replace(examples, slots=free, order=order)))
    alone = plan(tokenizer, examples, condition_on=("all",), groups=(("red circle", "green circle"),))
    coverage = measure_coverage(alone)
    assert coverage.num_changed.tolist() == [0, 0, 20] and coverage.num_new.tolist() == [0, 0, 0]


def test_captions_too_long_for_a_group_are_refused(tokenizer):
    """Any one slot can grow within 28 tokens; c and d together, said where a and b are, cannot."""
    said = np.array([[1, 1, 0, 0], [0, 0, 1, 1]] * 4, np.int8)
    slots = [tuple("1 red circle 1 red circle" if c else "" for c in row) for row in said]  # 6 tokens each
    examples = Examples(np.arange(8), slots, tuple("abcd"), said, (np.arange(8) % 2).astype(np.int32))
    assert make_plan(examples, tokenizer, 28, Settings()).num_variants == 8 * 5
    with pytest.raises(
        ValueError, match=r"a permuted caption of example \d has 29 tokens .*, and the text encoder reads 28"
    ):
        make_plan(examples, tokenizer, 28, Settings(groups=(("c", "d"),)))


def test_a_concept_that_no_caption_names_is_skipped(tokenizer):
    examples = dataclasses.replace(EXAMPLES, slots=[(*row[:5], "") for row in EXAMPLES.slots])
    made = plan(tokenizer, examples)
    assert made.skipped == (CONCEPTS[5],) and CONCEPTS[5] not in made.names
    said = captions(made, examples)
    assert len(said["caption"]) == made.num_variants and all(said["caption"])
    assert not [caption for caption in said["caption"] if CONCEPTS[5] in caption]
