"""Concepts may be called as they like: every name reaches every file as it is, or is refused in a sentence."""

import dataclasses
import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from cpi_jax.data.examples import Examples
from cpi_jax.errors import InputError
from cpi_jax.files.csv_files import read_csv
from cpi_jax.plan.describe import stored_ids
from cpi_jax.plan.make_plan import make_plan
from cpi_jax.plan.noise import noise_ids
from cpi_jax.report.plots import write_figures
from cpi_jax.settings import Settings, Statistics
from cpi_jax.statistics.record import Importance, read_importance
from tests.painter import flat_settings, scenes, study

pytestmark = pytest.mark.slow

# The painter has six slots.
NAMES = (
    ("null", "NaN", "None", "007", "1", "$x^$"),
    ("=1+1", "-1", "@SUM(A1)", "'quoted", "a + b", "a x b"),
    (
        'say "dog", or\n"cat"',
        "x" * 300,
        "🐕 كلب",
        "<script>alert(1)</script>",
        "control: x",
        "importance.csv/../draw_0",
    ),
)


def named(names):
    columns = {"site": np.array(["=A1", "7"])[np.arange(60) % 2], "patient": np.arange(60) // 2}
    return dataclasses.replace(scenes(60), slot_names=names, concept_names=names, columns=columns)


@pytest.mark.parametrize("names", NAMES)
def test_every_file_has_the_names_as_they_are(tokenizer, tmp_path, names):
    pairs = (names[0], names[2]), (names[0], names[1])
    found = study(  # of the same shapes as in test_explain.py: nothing is compiled anew
        tokenizer,
        tmp_path,
        examples=named(names),
        draws=1,
        control="a photo",
        groups=pairs[:1],
        interactions=pairs,
        subgroups="site",
        cluster="patient",
        metrics=("auroc", "accuracy", "neg_log_loss"),
        figures="svg",
        pictures=True,
    )
    features = {*names, " + ".join(pairs[0]), "control: a photo"}
    table = read_csv(tmp_path / "importance.csv")
    assert set(table.concept) == features and {f"outranks {name}" for name in features} <= set(table)
    again = Importance.from_frame(table, found.importance.warnings)
    assert again.names == found.importance.names == read_importance(tmp_path / "importance.json").names
    np.testing.assert_array_equal(again.value, found.importance.value)
    checks = read_csv(tmp_path / "checks.csv")
    assert set(checks.permuted) >= features and set(checks[checks.role == "other"].concept) == set(names)
    assert set(read_csv(tmp_path / "interactions.csv").concept) == {" x ".join(pair) for pair in pairs}
    assert set(read_csv(tmp_path / "subgroups.csv").subgroup) == set(found.subgroups) == {"=A1", "7"}
    assert list(json.loads((tmp_path / "importance.json").read_text())["subgroups"]) == list(found.subgroups)
    (part,) = (tmp_path / "variants.parquet").iterdir()
    assert set(pq.read_table(part)["feature"].to_pylist()) >= {"", *features}
    for picture in ("ranking", "independence", "samples"):
        assert (tmp_path / f"{picture}.png").stat().st_size > 2000 and (tmp_path / f"{picture}.svg").exists()
    text = found.summary()
    assert max(map(len, text.replace(str(tmp_path), "").split("\n"))) <= 110
    for name in names:
        assert " ".join(name.split())[:20] in text and " ".join(name.split())[:20] in repr(found)
    assert np.asarray(found.importance.value)[0, found.importance.names.index(names[0])] > 0.1
    for picture in tmp_path.glob("*.png"):
        picture.unlink()
    write_figures(tmp_path)  # of the folder alone
    assert (tmp_path / "ranking.png").exists()


def test_names_that_cannot_be_told_apart_are_refused(tokenizer):
    cases = {
        "needs a name of at least one letter, not ''": ("",),
        "needs a name of at least one letter, not '  '": ("  ",),
        "must differ by more than white space, unlike 'dog' and 'dog '": ("dog", "dog "),
        "must differ by more than white space, unlike 'hot dog' and 'hot\\ndog'": ("hot dog", "hot\ndog"),
        "holds a sign that is no text": ("\ud800",),
    }
    for message, names in cases.items():
        with pytest.raises(InputError) as caught:
            named((*names, *"abcdef"[: 6 - len(names)]))
        assert message in str(caught.value)
    examples = named(("a", "b", "a + b", "control: photo", "a x b", "c"))
    cases = {
        "called 'a + b', as another feature is": {"groups": (("a", "b"),)},
        "called 'control: photo', as another feature is": {"control": "photo"},
        "an interaction would be called 'a x b x c'": {"interactions": (("a x b", "c"), ("a", "b x c"))},
        "stop_top_k must be below the 6 concepts that are ranked, not 6": {"stop_top_k": 6},
    }
    for message, settings in cases.items():
        some = examples
        if "interactions" in settings:
            some = named(("a", "b", "a x b", "b x c", "c", "d"))
        with pytest.raises(InputError, match=message.replace("+", r"\+")):
            make_plan(some, tokenizer, 32, flat_settings(**settings))
    assert make_plan(examples, tokenizer, 32, Settings(statistics=Statistics(stop_top_k=5))).num_variants


def test_ids_keep_their_value(tokenizer):
    cases = {
        "int64": ([3, -1, 2], np.array([7, 1], np.int8), np.array([2**63 - 1, -(2**63)])),
        "uint64": ([2**63, 1], np.array([2**64 - 1, 0], np.uint64), np.array([2**64 - 1, 5], object)),
        "string": ([2**64, 1], [-1, 2**63], [True, False], ["007", "7"], np.array([1.5, 2.0])),
    }
    for kind, inputs in cases.items():
        for ids in inputs:
            examples = Examples(
                ids, [("a",), ("",), ("a",)][: len(ids)], ("a",), np.ones((len(ids), 1)), np.ones(len(ids))
            )
            stored = stored_ids(examples.ids)
            assert str(stored.type) == kind
            values = ids.tolist() if isinstance(ids, np.ndarray) else ids
            assert stored.to_pylist() == (list(map(str, values)) if kind == "string" else values)
            assert len(np.unique(noise_ids(examples.ids), axis=0)) == len(ids)
    for same in ([1, "1", *range(2, 60)], np.array(["a", "a", *map(str, range(58))])):
        twice = dataclasses.replace(scenes(60), ids=np.array(same, object))
        with pytest.raises(InputError, match=r"1 example ids occur twice, such as '(1|a)'"):
            make_plan(twice, tokenizer, 32, Settings())
