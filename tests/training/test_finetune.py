import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from ml_collections import ConfigDict
from safetensors.numpy import load_file

from cpi_jax.cli.config import denoiser_defaults
from cpi_jax.data.examples import Examples
from cpi_jax.diffusion.checkpoint import load_checkpoint, load_generator, load_tokenizer, save_checkpoint
from cpi_jax.errors import InputError
from cpi_jax.training.adapters import init_factors, merge
from cpi_jax.training.loop import fit
from cpi_jax.training.prompts import prompt_ids, prompt_texts
from cpi_jax.training.record import Record, keep_config
from cpi_jax.training.stable_diffusion import train_stable_diffusion
from cpi_jax.training.vocabulary import write_tokenizer
from tests.mini import SCHEDULER, one_block_networks, one_block_params

pytestmark = pytest.mark.slow

WORDS = ("a", "photo", "red", "blue", "hat", "shoe", "on", "grass", "sand", ",", "one", "two")
RNG = np.random.default_rng(0)
EXAMPLES = Examples(
    ids=np.arange(12),
    slots=[(("a red", "a blue")[i % 2], ("hat", "shoe")[i // 2 % 2]) for i in range(12)],
    slot_names=("colour", "thing"),
    concepts=np.stack([np.arange(12) % 2, np.arange(12) // 2 % 2], axis=1).astype(np.int8),
    labels=np.arange(12, dtype=np.int32) % 2,
    images=RNG.integers(0, 256, (12, 8, 8, 3)).astype(np.uint8),
)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("base")
    save_checkpoint(folder, one_block_networks(), one_block_params(), SCHEDULER)
    write_tokenizer(WORDS, folder / "tokenizer", 32)
    return folder


def config(base, **changes):
    unet = {
        **denoiser_defaults(),
        "trained": "unet",
        "num_steps": 4,
        "batch_size": 8,
        "save_every": 2,
        "log_every": 1,
        "ema_decay": 0.5,
        "optimizer": {"learning_rate": 1e-2, "warmup": 1, "final": 1e-3},
        **changes,
    }
    return ConfigDict(
        {
            "seed": 0,
            "init": str(base),
            "separator": " ",
            "empty": "a photo",
            "neutral": "",
            "unet": unet,
            "evaluation": {},
        }
    )


def test_finetuning_asks_for_a_checkpoint(tmp_path):
    with pytest.raises(InputError, match=r"config.init must name the checkpoint"):
        train("", tmp_path)


def train(base, workdir, on_export=lambda step, folder: False, examples=EXAMPLES, **changes):
    return train_stable_diffusion(config(base, **changes), examples, workdir, on_export)


def weights(folder, part):
    (file,) = (folder / part).glob("*.safetensors")
    return load_file(file)


def same(a, b):
    return all(np.array_equal(a[name], b[name]) for name in a)


class Stop(Exception):
    pass


def test_a_resumed_run_repeats_an_uninterrupted_one_and_trains_the_unet_alone(base, tmp_path):
    def stop(step, folder):
        raise Stop

    settings = {"min_snr_gamma": 5.0}
    whole = train(base, tmp_path / "whole", **settings)
    with pytest.raises(Stop):
        train(base, tmp_path / "parts", stop, **settings)
    parts = train(base, tmp_path / "parts", **settings)
    assert same(weights(whole, "unet"), weights(parts, "unet"))
    assert not same(weights(whole, "unet"), weights(base, "unet"))
    for part in ("vae", "text_encoder"):
        assert same(weights(whole, part), weights(base, part))
    for file in (base / "tokenizer").iterdir():
        assert (whole / "tokenizer" / file.name).read_bytes() == file.read_bytes()
    load_generator(whole, steps=2)
    with pytest.raises(InputError, match=r"holds a training with unet.accumulate = 1, and it is 2 now"):
        train(base, tmp_path / "whole", **settings, accumulate=2)


def test_a_loras_file_gives_its_merged_checkpoint(base, tmp_path):
    export = train(
        base, tmp_path, trained="lora", num_steps=2, compute_dtype="bfloat16", lora={"rank": 2, "alpha": 3.0}
    )
    merged = load_checkpoint(export).params
    again = load_checkpoint(base, lora=str(export / "lora.safetensors")).params
    moved = [
        np.abs(np.subtract(a, b)).max()
        for a, b in zip(jax.tree.leaves(merged["unet"]), jax.tree.leaves(one_block_params()["unet"]))
    ]
    assert max(moved) > 0.01
    for a, b in zip(jax.tree.leaves(merged), jax.tree.leaves(again)):
        np.testing.assert_allclose(a, b, rtol=2e-3, atol=1e-3)  # the export's weights have 16 bits


def test_factors_begin_as_nothing_and_scale_with_alpha_over_rank():
    unet = one_block_params()["unet"]
    factors = init_factors(unet, 2, jax.random.key(0))
    assert {name.split("/")[-1] for name in factors} == {"to_q", "to_k", "to_v", "to_out.0"}
    jax.tree.map(np.testing.assert_array_equal, merge(unet, factors, 3.0), unet)
    name = next(iter(factors))
    factors[name] = factors[name] | {"up": jnp.ones_like(factors[name]["up"])}
    changed = merge(unet, factors, 3.0)
    for key in (*name.split("/"), "kernel"):
        changed, unet = changed[key], unet[key]
    expected = 1.5 * np.asarray(factors[name]["down"]).sum(1, keepdims=True)
    np.testing.assert_allclose(changed - unet, np.broadcast_to(expected, unet.shape), atol=1e-5)
    with pytest.raises(InputError, match=r"rank of a LoRA must lie between 1 and 16 .* it is 17"):
        init_factors(one_block_params()["unet"], 17, jax.random.key(0))


def test_accumulated_parts_are_one_batch(tmp_path):
    x = jnp.linspace(-1, 1, 16)[:, None]

    def run(accumulate, folder):
        def loss(params, batch, keys, frozen):
            noise = jax.vmap(lambda key: jax.random.normal(key, (1,)))(keys)
            return (jnp.tanh(batch @ params["w"]) - frozen * batch + noise)[:, 0] ** 2

        return fit(
            "line", {"w": jnp.ones((1, 1))}, optax.sgd(0.1), loss, lambda key, data: data, x, frozen=jnp.float32(2.0),
            num_steps=3, batch_size=16, seed=0, workdir=folder, accumulate=accumulate,
        )["w"]  # fmt: skip

    np.testing.assert_allclose(run(4, tmp_path / "parts"), run(1, tmp_path / "one"), rtol=1e-5)
    with pytest.raises(InputError, match="batch size 16 is not a multiple of the 1 devices times 3 parts"):
        run(3, tmp_path / "odd")


def test_remat_keeps_less_for_the_same_gradient():
    networks, unet = one_block_networks(), one_block_params()["unet"]
    noisy, context = (jnp.asarray(RNG.normal(size=shape), jnp.float32) for shape in ((2, 4, 4, 4), (2, 32, 16)))

    def loss(params, remat):
        return (networks.denoise(params, noisy, jnp.array([10, 900]), context, remat=remat) ** 2).mean()

    def kept(remat):
        held = jax.eval_shape(lambda p: jax.vjp(lambda q: loss(q, remat), p)[1], unet)
        return sum(leaf.size for leaf in jax.tree.leaves(held)) - sum(leaf.size for leaf in jax.tree.leaves(unet))

    assert kept(True) < 0.3 * kept(False)
    plain, again = (jax.device_get(jax.jit(jax.grad(loss), static_argnums=1)(unet, remat)) for remat in (False, True))
    norm = np.sqrt(sum((x**2).sum() for x in jax.tree.leaves(plain)))
    off = np.sqrt(sum(((x - y) ** 2).sum() for x, y in zip(jax.tree.leaves(plain), jax.tree.leaves(again))))
    assert off < 1e-4 * norm


def test_ends_where_the_detector_no_longer_improves(tmp_path):
    record, seen = Record(tmp_path), []

    def report(step, ema):
        seen.append(step)
        record.add(step, {"mean AUROC": {1: 0.6, 2: 0.8, 3: 0.8, 4: 0.7}[step]})
        return record.has_stopped_improving(2, "mean AUROC")

    def run():
        fit(
            "line", {"w": jnp.ones(())}, optax.sgd(0.1), lambda params, batch, keys: (batch[:, 0] * params["w"]) ** 2,
            lambda key, data: data, jnp.ones((4, 1)), num_steps=9, batch_size=4, seed=0, workdir=tmp_path, save_every=1,
            on_save=report,
        )  # fmt: skip

    run()
    assert seen == [1, 2, 3, 4]
    run()  # a second launch finds it ended
    assert seen == [1, 2, 3, 4, 4]
    record.add(2, {"mean AUROC": 0.9})
    assert not record.has_stopped_improving(2, "mean AUROC") and not record.has_stopped_improving(0, "mean AUROC")
    for file in (tmp_path / "line" / "4").rglob("manifest.ocdbt"):
        file.write_bytes(b"damaged")
    with pytest.raises(InputError, match=r"the checkpoint .*line/4 cannot be read: .*; remove it"):
        run()


def test_weights_that_are_no_numbers_are_never_kept(tmp_path):
    """The second checkpoint would hold them, though the loss of its step is still a number."""
    poison = optax.chain(optax.sgd(0.1), optax.scale_by_schedule(lambda step: jnp.where(step < 3, 1.0, jnp.nan)))
    with pytest.raises(InputError, match=r"line: .* no longer finite at step 4; the checkpoint of step 2 is kept"):
        fit(
            "line", {"w": jnp.ones(())}, poison, lambda params, batch, keys: (batch[:, 0] * params["w"]) ** 2,
            lambda key, data: data, jnp.ones((4, 1)), num_steps=8, batch_size=4, seed=0, workdir=tmp_path, save_every=2,
        )  # fmt: skip
    assert [path.name for path in (tmp_path / "line").iterdir() if path.name.isdigit()] == ["2"]


def test_free_text_is_read_in_its_own_order(base):
    tokenizer, said = load_tokenizer(base), {"separator": " ", "empty": "a photo"}
    slots, order = [(" red", " hat", " on sand"), ("", "", "")], np.array([[0, 2, 1], [0, 1, 2]])
    free = dataclasses.replace(
        EXAMPLES.take(np.arange(2)), slots=slots, slot_names=("a", "b", "c"), order=order,
        concepts=np.zeros((2, 3), np.int8), concept_names=(), concept_slots=(),
    )  # fmt: skip
    assert prompt_texts(free, **said) == ["red on sand hat", "a photo"]
    columns = dataclasses.replace(free, slots=[("red", "on sand", "hat"), ("", "", "")], order=None)
    assert prompt_texts(columns, **said) == ["red on sand hat", "a photo"]
    np.testing.assert_array_equal(prompt_ids(tokenizer, free, 32, **said), prompt_ids(tokenizer, columns, 32, **said))
    ended = prompt_ids(tokenizer, columns, 32, **said, ending="one two")
    np.testing.assert_array_equal(ended[0], tokenizer.padded("red on sand hat one two", 32))
    with pytest.raises(InputError, match="free text cannot end in a slot of its own"):
        prompt_ids(tokenizer, free, 32, **said, ending="one two")
    assert prompt_ids(tokenizer, free, 6, **said).shape == (2, 6)  # red on sand hat, BOS and EOS
    with pytest.raises(InputError, match=r"caption of example 0 has 6 tokens, and the text encoder reads 5"):
        prompt_ids(tokenizer, free, 5, **said)


@pytest.mark.parametrize(
    ("changes", "examples", "message"),
    [
        ({"trained": "everything"}, {}, "there is no part to train 'everything'"),
        ({"compute_dtype": "float16"}, {}, "there is no compute dtype 'float16'"),
        ({"timestep_density": "cosine"}, {}, "there is no density of timesteps 'cosine'"),
        ({}, {"images": None}, "name their column, --config.data.image"),
        (
            {},
            {"images": np.zeros((12, 16, 16, 3), np.uint8)},
            r"images are \(16, 16\) and the networks make \(8, 8\) pixels",
        ),
        ({}, {"slots": [("a red", "hat " * 40)] * 12}, r"example 0 has 44 tokens .* encoder reads 32"),
    ],
)
def test_mistakes_are_named(base, tmp_path, changes, examples, message):
    with pytest.raises(InputError, match=message):
        train(base, tmp_path, examples=dataclasses.replace(EXAMPLES, **examples), **changes)


def test_another_config_is_refused_by_its_first_difference(tmp_path):
    keep_config({"a": {"b": (1, 3)}, "c": ""}, tmp_path)
    keep_config({"a": {"b": (1, 2)}, "c": ""}, tmp_path)  # nothing was trained with the other one
    (tmp_path / "denoiser").mkdir()
    (tmp_path / "config.json").write_text("[")
    with pytest.raises(InputError, match=r"config.json is not valid JSON"):
        keep_config({"a": 1}, tmp_path)
    (tmp_path / "config.json").write_text('{"a": {"b": [1, 2]}, "c": ""}')
    keep_config({"a": {"b": (1, 2)}, "c": ""}, tmp_path)
    assert json.loads((tmp_path / "config.json").read_text()) == {"a": {"b": [1, 2]}, "c": ""}
    with pytest.raises(InputError, match=r"holds a training with a.b = \[1, 2\], and it is \[1, 3\] now"):
        keep_config({"a": {"b": (1, 3)}, "c": ""}, tmp_path)


def test_a_first_step_that_fails_has_no_checkpoint(tmp_path):
    with pytest.raises(InputError, match=r"at step 1; no checkpoint was made"):
        fit(
            "line", {"w": jnp.ones(())}, optax.sgd(0.1), lambda params, batch, keys: batch[:, 0] * params["w"] / 0.0,
            lambda key, data: data, jnp.ones((4, 1)), num_steps=8, batch_size=4, seed=0, workdir=tmp_path,
        )  # fmt: skip
