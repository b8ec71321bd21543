"""An edited function in a folder that holds scores of the old one: found out by its scores, whatever kind it is."""

import functools
import importlib
import json
import sys

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
import pytest

from cpi_jax.classifiers.scorer import HostScorer, Scorer
from cpi_jax.diffusion.generator import Generator
from cpi_jax.errors import InputError
from cpi_jax.generation.recheck import recheck_finished
from cpi_jax.opening import open_study
from cpi_jax.store.identity import source_hash
from cpi_jax.store.workers import Worker, hold_share
from tests.painter import FAST, SMALL, WEIGHTS, flat_settings, paint, painter, read_patches, scenes, study

pytestmark = pytest.mark.slow

QUICK = {"examples": scenes(60), **SMALL}
MATRIX = np.asarray(WEIGHTS, np.float32)


def host(sign=1.0, shift=0.0):
    """Two of them with other numbers are what an edit makes of one: the same name, another function."""
    return HostScorer(lambda images: sign * np.asarray(read_patches(MATRIX, images)) + shift, name="hosts:patches")


class Bright(nn.Module):
    """A module without parameters of its own that count."""

    def __call__(self, images):
        return 4 * images.mean((1, 2))[:, :1] - 1


class Dark(nn.Module):
    """The same after an edit."""

    def __call__(self, images):
        return 1 - 4 * images.mean((1, 2))[:, :1]


def apply(module, params, images):
    return module.apply(params, images)


def flax(module):
    return Scorer({}, functools.partial(apply, module()), "modules:Bright")


def washed_out(params, token_ids, keys):
    return 0.5 * paint(params, token_ids, keys)


def test_an_edited_function_is_refused_when_the_study_goes_on(tokenizer, tmp_path):
    study(tokenizer, tmp_path, target=host(), max_images=200, **QUICK)
    with pytest.raises(
        InputError, match=r"the target scores example \d+ \('.*'\) \S+ now and .* holds \S+: the source"
    ) as e:
        study(tokenizer, tmp_path, target=host(-1.0), **QUICK)
    assert str(e.value).endswith("was edited, so choose another --workdir")
    with pytest.raises(InputError, match="the source of the target was edited"):
        study(tokenizer, tmp_path, target=host(shift=0.5), **QUICK)  # not a threshold alone
    study(tokenizer, tmp_path, target=host(shift=1e-4), **QUICK)  # as another device may give
    calls = []

    def counted(images):
        calls.append(len(images))
        return np.asarray(read_patches(MATRIX, images))

    # The finished study: once for the other source, and then never again.
    for rows in ([16, 16, 16], [16, 16]):
        calls.clear()
        study(tokenizer, tmp_path, target=HostScorer(counted, "hosts:patches"), **QUICK)
        assert calls == rows  # the noise that a function is tried on, and 16 finished rows
    with pytest.raises(InputError, match="holds"):
        study(tokenizer, tmp_path, target=host(-1.0), **QUICK)  # a finished one too


def test_flax_modules_and_generators_are_known_by_their_scores_too(tokenizer, tmp_path):
    study(tokenizer, tmp_path / "flax", target=flax(Bright), **QUICK)
    with pytest.raises(InputError, match="the source of the target was edited"):
        study(tokenizer, tmp_path / "flax", target=flax(Dark), **QUICK | {"draws": 2})
    study(tokenizer, tmp_path / "generator", **QUICK)
    with pytest.raises(InputError, match=r"the target scores example .*: the source of the generator was edited"):
        study(tokenizer, tmp_path / "generator", generator=Generator(jnp.eye(6), washed_out), **QUICK)
    detector = HostScorer(lambda images: np.asarray(read_patches(np.eye(6, dtype=np.float32), images)), name="h")
    study(tokenizer, tmp_path / "detector", **QUICK | {"detector": detector})
    edited = HostScorer(lambda images: np.asarray(read_patches(np.eye(6)[::-1].astype(np.float32), images)), name="h")
    with pytest.raises(InputError, match=r"the detector scores example .* \(output \d\): the source of the detector"):
        study(tokenizer, tmp_path / "detector", **QUICK | {"detector": edited, "draws": 2})


def test_what_the_source_does_not_show_is_found_when_the_study_goes_on(tokenizer, tmp_path):
    weights = {"file": MATRIX}  # stands for a file that the function reads
    path = tmp_path / "weights.npy"

    def reads(images):
        return np.asarray(read_patches(np.load(path), images))

    np.save(path, weights["file"])
    study(tokenizer, tmp_path / "w", target=HostScorer(reads, "reads"), **QUICK)
    np.save(path, -weights["file"])
    with pytest.raises(InputError, match="something that the source does not show, such as a file that it reads"):
        study(tokenizer, tmp_path / "w", target=HostScorer(reads, "reads"), **QUICK | {"draws": 2})


def test_the_hash_follows_the_file_and_what_a_function_is_bound_to(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    file, hashes = tmp_path / "edited_hosts.py", []
    for text in (
        "def f(x): return half(x)\ndef half(x): return x / 2\n",
        "def f(x): return half(x)\ndef half(x): return x\n",
    ):
        file.write_text(text)
        sys.modules.pop("edited_hosts", None)
        importlib.invalidate_caches()
        function = importlib.import_module("edited_hosts").f
        hashes += [source_hash(HostScorer(function, "f")), source_hash(HostScorer(functools.partial(function, 2), "f"))]
    assert len(set(hashes)) == 4
    assert source_hash(host()) == source_hash(host()) != source_hash(host(2.0))
    assert source_hash(flax(Bright)) == source_hash(flax(Bright))
    assert source_hash(HostScorer(np.mean, "m")) == source_hash(HostScorer(np.median, "m"))  # nobody edits numpy


def opened(tokenizer, workdir, target):
    settings = flat_settings(**FAST, draws=1)
    return open_study(
        scenes(60),
        generator=painter(),
        tokenizer=tokenizer,
        scorers={"target": target},
        settings=settings,
        workdir=workdir,
    )


def test_a_worker_with_another_source_does_not_join(tokenizer, tmp_path):
    first = opened(tokenizer, tmp_path, host())
    recheck_finished(first.batch_scorer, first.scores, 1)
    assert set(json.loads((tmp_path / "sources.json").read_text())) == {"generator", "target"}
    second = opened(tokenizer, tmp_path, host(-1.0))
    with hold_share(first.store, Worker(0, 2)), pytest.raises(InputError, match="another source of the target: end it"):
        recheck_finished(second.batch_scorer, second.scores, 1)
    recheck_finished(second.batch_scorer, second.scores, 1)  # nothing is scored and nobody runs: it may begin anew
