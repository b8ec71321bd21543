import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from cpi_jax.captions.slots import make_slots
from cpi_jax.data.shapes import EMPTY, concept_slots
from cpi_jax.plan.describe import describe_variants
from cpi_jax.plan.enumeration import plan_variants
from cpi_jax.plan.make_plan import make_plan
from cpi_jax.plan.noise import noise_ids
from cpi_jax.plan.requests import distinct_rows
from cpi_jax.plan.variants import take_variants
from cpi_jax.settings import Settings
from tests.painter import flat_settings, scenes

CONCEPTS = np.array([[1, 0, 1, 0, 0, 1], [0, 0, 1, 1, 0, 1], [1, 1, 0, 0, 0, 1], [0, 1, 1, 0, 0, 1]])


def plan(tokenizer, features, ids=(11, 12, 13, 14)):
    slots = make_slots(tokenizer, concept_slots(CONCEPTS), length=32, empty=EMPTY)
    return slots, plan_variants(slots.tokens, np.array(features, bool), np.array(ids))


def test_every_distinct_caption_is_planned_once(tokenizer):
    features = np.eye(6, dtype=bool)[:4]
    slots, (variants, _) = plan(tokenizer, features)
    tokens = take_variants(slots.tokens, jnp.asarray(features), variants)
    planned = [(int(i), np.asarray(t).tobytes()) for i, t in zip(variants.example, tokens)]
    # All captions that any permutation can ask for, by brute force.
    own = np.asarray(slots.tokens)
    wanted = set()
    for i in range(4):
        for j in range(4):
            for k in range(4):
                caption = own[i].copy()
                caption[j] = own[k, j]
                wanted.add((i, caption.tobytes()))
    assert len(planned) == len(set(planned)) == 4 * 5
    assert set(planned) == wanted


def test_the_lookup_finds_the_row_of_each_value(tokenizer):
    features = np.array([[1, 0, 0, 0, 0, 0], [0, 1, 1, 0, 0, 0], [0, 0, 0, 0, 0, 1]], bool)
    _, (variants, lookup) = plan(tokenizer, features)
    assert lookup.rows.shape == (4, 3, 3)  # the pair has contents 01, 10, 11; the last concept never varies
    carried = np.asarray(take_variants(jnp.asarray(CONCEPTS), jnp.asarray(features), variants))
    for i in range(4):
        np.testing.assert_array_equal(carried[lookup.baseline[i]], CONCEPTS[i])
        for f, mask in enumerate(features):
            contents = {tuple(c[mask]) for c in CONCEPTS}
            reached = set()
            for v in range(3):
                row = int(lookup.rows[i, f, v])
                if row < 0:
                    assert v >= len(contents)
                    continue
                assert int(variants.example[row]) == i
                np.testing.assert_array_equal(carried[row][~mask], CONCEPTS[i][~mask])
                reached.add(tuple(carried[row][mask]))
                assert (row == int(lookup.baseline[i])) == (v == int(lookup.values[i, f]))
            assert reached == contents


def test_captions_that_features_share_are_one_row(tokenizer):
    """A pair needs only the rows in which both change; the rest are those of its concepts."""
    features = np.array([[1, 0, 0, 0, 0, 0], [0, 1, 0, 0, 0, 0], [1, 1, 0, 0, 0, 0]], bool)
    slots, (variants, lookup) = plan(tokenizer, features)
    tokens = np.asarray(take_variants(slots.tokens, jnp.asarray(features), variants))
    assert len({(int(i), t.tobytes()) for i, t in zip(variants.example, tokens)}) == len(tokens)
    assert len(tokens) == 4 * 4  # baseline, either changed, both changed
    carried = np.asarray(take_variants(jnp.asarray(CONCEPTS), jnp.asarray(features), variants))
    contents = sorted({tuple(c[:2]) for c in CONCEPTS})
    for i in range(4):
        reached = sorted(tuple(carried[row, :2]) for row in np.asarray(lookup.rows)[i, 2] if row >= 0)
        assert reached == contents


def test_rows_go_by_example_and_extra_examples_change_no_order(tokenizer):
    slots, (variants, _) = plan(tokenizer, np.eye(6, dtype=bool)[:2])
    order = list(dict.fromkeys(np.asarray(variants.example).tolist()))
    assert (np.diff([order.index(i) for i in np.asarray(variants.example)]) >= 0).all()
    few, _ = plan_variants(slots.tokens[:3], np.eye(6, dtype=bool)[:2], np.array([11, 12, 13]))
    assert [i for i in order if i < 3] == list(dict.fromkeys(np.asarray(few.example).tolist()))


def test_what_cannot_be_planned_is_refused(tokenizer):
    with pytest.raises(ValueError, match="1 example ids occur twice"):
        plan(tokenizer, np.eye(6, dtype=bool), ids=(1, 2, 2, 3))
    with pytest.raises(ValueError, match="there are 3 ids and tokens of 4 captions"):
        plan(tokenizer, np.eye(6, dtype=bool), ids=(1, 2, 3))
    with pytest.raises(ValueError, match="nothing to permute: features must hold at least one mask"):
        plan(tokenizer, np.zeros((0, 6), bool))
    many = jnp.arange(9)[:, None, None]
    with pytest.raises(ValueError, match="9 values"):
        plan_variants(many, np.ones((1, 1), bool), np.arange(9))


def test_ids_reach_the_noise_whole():
    np.testing.assert_array_equal(noise_ids([5, 2**32 - 1]), np.array([5, 2**32 - 1], np.uint32))
    mixed = noise_ids([5, 2**32])
    assert tuple(mixed[0]) == (0, 5) and mixed[1, 0] > 0
    text = noise_ids(["a.png", "b.png"])
    assert text.dtype == np.uint32 and text.shape == (2, 2) and (text[0] != text[1]).any()
    np.testing.assert_array_equal(noise_ids(["b.png"])[0], text[1])


def test_distinct_rows_are_those_of_numpy():
    rows = np.random.default_rng(0).integers(-1, 3, (500, 4))
    values, first = distinct_rows(rows)
    _, expected_first, expected = np.unique(rows, axis=0, return_index=True, return_inverse=True)
    np.testing.assert_array_equal(values, expected.reshape(-1))
    np.testing.assert_array_equal(first, expected_first)


def test_codes_follow_from_id_and_caption_alone(tokenizer):
    """Another data set, another order, other padding: the same example with the same caption has the same code."""

    def by_caption(examples, **settings):
        plan = make_plan(examples, tokenizer, 32, flat_settings(**settings))
        said = describe_variants(plan, examples, Settings()).to_pydict()
        return dict(zip(zip(said["example_id"], said["caption"]), plan.codes.tolist()))

    big = scenes(50)
    few = big.take(np.arange(49, 20, -1))
    # A first slot of many tokens in one caption only pads all the others.
    padded = dataclasses.replace(few, slots=[*few.slots[:-1], ("1 red circle a red red circle", *few.slots[-1][1:])])
    codes, other, third = by_caption(big), by_caption(few), by_caption(padded, concepts=("blue circle",))
    assert len(set(codes.values())) == len(codes) and set(other.items()) <= set(codes.items())
    shared = [key for key in third if key in codes]
    assert len(shared) > 40 and all(third[key] == codes[key] for key in shared)
